#pragma once

#include "trial/query_generator.hpp"
#include "trial/runtime.hpp"
#include "trial/views.hpp"

#include <map>
#include <mutex>
#include <string>

namespace matview::trial {

/// What a trial has seen. Any thread.
class statistics final {
 public:
  void asked(const view_under_trial& view, const made_views& what_came);
  void checked(const check_result& how);
  /// Something worth a count: "conflicts", "transactions".
  void count(const std::string& what);

  [[nodiscard]] int incremental_views() const;
  [[nodiscard]] int checks() const;
  [[nodiscard]] std::string text() const;

 private:
  struct share {
    int incremental = 0;
    int all = 0;
  };

  mutable std::mutex mutex_;
  share views_;
  int checks_ = 0;
  std::map<std::string, share> by_feature_;
  std::map<std::string, int> refusals_;
  std::map<std::string, int> modes_;
  std::map<std::string, int> counts_;
};

}  // namespace matview::trial

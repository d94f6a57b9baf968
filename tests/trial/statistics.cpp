#include "trial/statistics.hpp"

#include <fmt/format.h>

namespace matview::trial {

void statistics::asked(const view_under_trial& view, const made_views& what_came) {
  if (what_came.queries == verdict::dear) count("queries that are too dear");
  if (what_came.queries == verdict::invalid) count("invalid queries");
  if (!what_came.of_the_view) return;
  const creation& how = *what_came.of_the_view;
  const std::scoped_lock lock(mutex_);
  const auto add = [&](share& to) {
    to.all += 1;
    to.incremental += how.incremental ? 1 : 0;
  };
  add(views_);
  for (const std::string& one : view.features) add(by_feature_[one]);
  if (!how.incremental) ++refusals_[how.reason];
}

void statistics::checked(const check_result& how) {
  if (how.compiled_anew) count("compiled anew before a check");
  const std::scoped_lock lock(mutex_);
  ++checks_;
  ++modes_[how.reason.empty() ? how.mode : how.mode + ": " + how.reason];
}

void statistics::count(const std::string& what) {
  const std::scoped_lock lock(mutex_);
  ++counts_[what];
}

int statistics::incremental_views() const {
  const std::scoped_lock lock(mutex_);
  return views_.incremental;
}

int statistics::checks() const {
  const std::scoped_lock lock(mutex_);
  return checks_;
}

std::string statistics::text() const {
  const std::scoped_lock lock(mutex_);
  std::string text = fmt::format("{} refreshes checked\n", checks_);
  for (const auto& [name, number] : modes_) text += fmt::format("  {:6} {}\n", number, name);
  for (const auto& [name, number] : counts_) text += fmt::format("{:8} {}\n", number, name);
  text += fmt::format("{} of {} views incremental; by what the query has:\n", views_.incremental,
                      views_.all);
  for (const auto& [name, number] : by_feature_) {
    text += fmt::format("  {:4} of {:4} {}\n", number.incremental, number.all, name);
  }
  if (!refusals_.empty()) text += "refused:\n";
  for (const auto& [name, number] : refusals_) text += fmt::format("  {:6} {}\n", number, name);
  return text;
}

}  // namespace matview::trial

#pragma once

#include <matview/error.hpp>

namespace matview::cli {

/// What the shell is told. A contract: scripts depend on it.
enum class exit_code {
  done = 0,
  failed = 1,         ///< The database refused or failed.
  usage = 2,          ///< Wrong usage, bad identifier, interval, cron or SELECT.
  no_connection = 3,  ///< No database could be reached, or it was lost on the way.
  look_at_it = 4,     ///< Done, but with something to look at: some of several items failed, a
                      ///< difference, an error of doctor, a cycle.
  interrupted = 130,  ///< Ctrl-C.
};

/// The one table from errors to exit codes. Pure.
[[nodiscard]] constexpr exit_code exit_code_of(errc code) noexcept {
  switch (code) {
    case errc::invalid_identifier:
    case errc::invalid_interval:
    case errc::invalid_cron:
    case errc::invalid_select:
    case errc::invalid_option:
    case errc::unknown_database:
    case errc::unsupported_backend:
      return exit_code::usage;
    case errc::connection_failed:
    case errc::connection_lost:
      return exit_code::no_connection;
    default:
      return exit_code::failed;
  }
}

/// Of several items, one after another: the last word on all of them. Pure.
class tally final {
 public:
  void succeeded() noexcept { any_done_ = true; }
  void failed(exit_code code) noexcept {
    if (first_failure_ == exit_code::done) first_failure_ = code;
  }

  [[nodiscard]] exit_code code() const noexcept {
    const bool mixed = any_done_ && first_failure_ != exit_code::done;
    return mixed ? exit_code::look_at_it : first_failure_;
  }

 private:
  bool any_done_ = false;
  exit_code first_failure_ = exit_code::done;
};

}  // namespace matview::cli

#pragma once

#include <matview/options.hpp>

#include <string>

namespace matview::views {

/// What matview_refresh_task() returns, so that a worker that is given one can recognise it and run
/// the refresh in one transaction with the job's completion.
struct refresh_task {
  std::string name;
  refresh_options options;

  void operator()() const;
};

}  // namespace matview::views

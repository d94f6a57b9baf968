// Keeps a view fresh by the clock, until SIGTERM or SIGINT.

#include <matview/matview.hpp>

#include <exception>
#include <iostream>

int main() {
  using namespace matview;
  using namespace matview::tasks;
  try {
    task_queue q{{.name = "cron"}};
    q.task({.name = "dashboards.refresh", .cron = "*/5 * * * *"},
           matview_refresh_task("dashboard_v"));
    q.run();
    return 0;
  } catch (const error& failed) {
    std::cerr << failed.what() << '\n' << failed.hint() << '\n';
    return 1;
  }
}

#include "memory.hpp"

#include "bare_libpq.hpp"
#include "heap.hpp"
#include "library.hpp"
#include <matview/databases.hpp>

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace matview::bench {

namespace {

using namespace std::chrono_literals;

// Holds back refreshes: a reader of all the views, which stays until all are waiting for it.
class gate final {
 public:
  gate(const std::string& conninfo, const std::vector<std::string>& views)
      : watcher_(connect(conninfo)), reader_(connect(conninfo)), wanted_(views.size()) {
    std::string sql = "BEGIN;";
    for (const std::string& view : views) sql += fmt::format("SELECT FROM {};", view);
    execute(reader_.get(), sql);
  }

  /// Runs `flight` and opens the gate meanwhile.
  /// @throws std::runtime_error if they were not all in flight at one time.
  void release_during(const std::function<void()>& flight) {
    std::exception_ptr failure;
    {
      const std::jthread opener([&] {
        try {
          open();
        } catch (...) {
          failure = std::current_exception();
        }
      });
      flight();
    }
    if (failure) std::rethrow_exception(failure);
  }

 private:
  void open() {
    const std::string count =
        fmt::format("SELECT count(*) FROM pg_stat_activity WHERE {} = ANY (pg_blocking_pids(pid))",
                    PQbackendPID(reader_.get()));
    const auto until = std::chrono::steady_clock::now() + 30s;
    bool all = false;
    while (!all && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(20ms);
      all = std::stoul(value_of(watcher_.get(), count)) == wanted_;
    }
    execute(reader_.get(), "COMMIT");  // Also when it has failed, or the flight would never end.
    if (!all) throw std::runtime_error("the refreshes were not all in flight at one time");
  }

  pg::connection_handle watcher_;
  pg::connection_handle reader_;
  std::size_t wanted_;
};

struct footprint {
  std::int64_t idle;
  std::int64_t peak;
};

footprint footprint_of(heap_count& heap, const std::string& conninfo,
                       const std::vector<std::string>& views,
                       const std::function<void(std::size_t)>& flight) {
  flight(2);
  const std::int64_t idle = heap.live();
  gate held(conninfo, views);
  const std::int64_t gates_own = heap.live() - idle;
  heap.restart_peak();
  held.release_during([&] { flight(2); });
  return {.idle = idle, .peak = heap.peak() - gates_own};
}

}  // namespace

memory_use measure_memory(const server& on, const one_row_views& views) {
  const std::vector<std::string> names = views.plain(most_in_flight);
  std::vector<messages> statements;
  statements.reserve(names.size());
  for (const std::string& view : names) {
    statements.push_back({fmt::format("REFRESH MATERIALIZED VIEW {}", view)});
  }
  configure_databases({});  // Forgets the pool that there was: what is counted begins with none.
  footprint bare{};
  {
    heap_count heap;
    bare_flight flight(on.conninfo(), {}, statements);
    const auto run = [&](std::size_t times) { flight.run(times); };
    bare = footprint_of(heap, on.conninfo(), names, run);
  }
  footprint library{};
  {
    heap_count heap;
    use_server(on.conninfo(), most_in_flight);
    const auto run = [&](std::size_t times) { fly(names, times); };
    library = footprint_of(heap, on.conninfo(), names, run);
  }
  constexpr auto each = static_cast<std::int64_t>(most_in_flight);
  return {.library = library.peak / each,
          .bare = bare.peak / each,
          .library_idle = library.idle / each,
          .bare_idle = bare.idle / each};
}

}  // namespace matview::bench

#include "scenarios.hpp"

#include "bare_libpq.hpp"
#include "library.hpp"
#include <matview/views.hpp>

#include <fmt/format.h>

#include <utility>

namespace matview::bench {

namespace {

constexpr double time_goal = 1.05;

std::string refresh_statement(const std::string& view, bool concurrently) {
  return fmt::format("REFRESH MATERIALIZED VIEW {}{}", concurrently ? "CONCURRENTLY " : "", view);
}

comparison compare(comparison made, const std::vector<variant>& variants, std::size_t per_run,
                   const effort& how_long) {
  fmt::print(stderr, "measuring: {}\n", made.title);
  auto seen = interleave(variants, per_run, how_long);
  made.library = std::move(seen.at(0));
  made.bare = std::move(seen.at(1));
  made.same = std::move(seen.at(2));
  return made;
}

}  // namespace

comparison compare_one_at_a_time(const server& on, const one_row_views& views, bool concurrently,
                                 const effort& how_long) {
  const std::size_t batch = how_long.batch;
  const std::string view = concurrently ? views.indexed() : views.plain(1).front();
  const refresh_options options{.concurrently = concurrently};
  const recording sent = record(on.conninfo(), view, options);
  const std::string statement = refresh_statement(view, concurrently);

  use_server(on.conninfo(), 1);
  const auto bare = connect(on.conninfo());
  const auto same = connect(on.conninfo(), sent.session);
  const auto with_library = [&] {
    for (std::size_t i = 0; i < batch; ++i) refresh_matview(view, options);
  };
  const auto with_libpq = [&] {
    for (std::size_t i = 0; i < batch; ++i) execute(bare.get(), statement);
  };
  const auto with_same_messages = [&] {
    for (std::size_t i = 0; i < batch; ++i) {
      for (const std::string& message : sent.refresh) execute(same.get(), message);
    }
  };
  comparison made{
      .name = concurrently ? "refresh_concurrently/one_at_a_time" : "refresh/one_at_a_time",
      .title = concurrently ? "concurrently, one at a time" : "one at a time"};
  if (!concurrently) made.goal = time_goal;
  return compare(std::move(made),
                 {{"library", with_library},
                  {"bare_libpq", with_libpq},
                  {"same_messages", with_same_messages}},
                 batch, how_long);
}

comparison compare_in_flight(const server& on, const one_row_views& views, std::size_t in_flight,
                             const effort& how_long) {
  const std::size_t times = in_flight == 1 ? how_long.batch : how_long.batch / 2;
  const std::vector<std::string> names = views.plain(in_flight);
  std::vector<messages> statements;
  std::vector<messages> sent;
  messages session;
  for (const std::string& view : names) {
    recording seen = record(on.conninfo(), view, {});
    statements.push_back({refresh_statement(view, false)});
    sent.push_back(std::move(seen.refresh));
    session = std::move(seen.session);
  }
  use_server(on.conninfo(), in_flight);
  bare_flight bare(on.conninfo(), {}, std::move(statements));
  bare_flight same(on.conninfo(), session, std::move(sent));
  return compare({.name = fmt::format("refresh/{}_in_flight", in_flight),
                  .title = fmt::format("{} in flight", in_flight),
                  .goal = time_goal},
                 {{"library", [&] { fly(names, times); }},
                  {"bare_libpq", [&] { bare.run(times); }},
                  {"same_messages", [&] { same.run(times); }}},
                 in_flight * times, how_long);
}

}  // namespace matview::bench

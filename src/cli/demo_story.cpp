#include "cli/demo_story.hpp"

#include "cli/flights.hpp"
#include "cli/output.hpp"
#include "cli/worker_process.hpp"
#include "pg/database.hpp"
#include <matview/schedules.hpp>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace matview::cli {

namespace {

using clock = std::chrono::steady_clock;

// The day from which flights arrive "later".
constexpr std::string_view later_from = "2001-03-01";

constexpr std::string_view by_day = "delay_by_airport_and_day";
constexpr std::string_view routes = "busiest_routes";
constexpr std::string_view airports = "airports_by_delay";

constexpr std::string_view by_day_sql = R"(
select origin as airport, date::date as day, count(*) as flights,
       round(avg(delay), 1) as mean_delay, max(delay) as longest_delay
  from flights group by origin, date::date)";

constexpr std::string_view routes_sql = R"(
select least(origin, destination) as one_end, greatest(origin, destination) as other_end,
       count(*) as flights, max(distance) as miles
  from flights group by 1, 2)";

constexpr std::string_view airports_sql = R"(
select a.iata as airport, a.city, a.state, count(*) as flights,
       round(avg(f.delay), 1) as mean_delay
  from flights f join airports a on a.iata = f.origin
 group by a.iata, a.city, a.state)";

constexpr std::string_view dashboard_sql =
    " where flights >= 100 order by mean_delay desc, airport limit 3";

void say(const std::string& line) {
  write_result(line + "\n");
}

void chapter(std::string_view title) {
  say(fmt::format("\n== {}", title));
}

std::chrono::microseconds since(clock::time_point began) {
  return std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - began);
}

std::string told(const refresh_report& report) {
  return fmt::format("   {:<32} {:>9} rows  {:>8}  {:>9}", report.view,
                     report.rows ? pretty_count(*report.rows) : "?", pretty_bytes(report.bytes),
                     pretty_duration(report.duration));
}

asio::awaitable<pg::lease> leased() {
  const auto database = pg::find_database("default");
  co_return co_await database->acquire({});
}

struct reader_account {
  std::int64_t reads = 0;
  std::chrono::microseconds longest{0};
};

// Reads until it is told to stop; each read is one query of the view.
asio::awaitable<reader_account> read_until(const bool& stop, std::string sql) {
  reader_account account;
  co_await pg::shield_cancellation();
  pg::lease lease = co_await leased();
  while (!stop) {
    const auto began = clock::now();
    co_await (*lease).run(sql);
    account.longest = std::max(account.longest, since(began));
    ++account.reads;
  }
  co_return account;
}

// Refreshes until a while has passed, so that the reader meets it at every moment.
asio::awaitable<int> refresh_for(std::chrono::milliseconds time, bool& stop,
                                 refresh_options options) {
  const auto began = clock::now();
  int times = 0;
  while (since(began) < time) {
    co_await arefresh_matview(airports, options);
    ++times;
  }
  stop = true;
  co_return times;
}

}  // namespace

asio::awaitable<void> demo_story::begin() {
  say("matview demo: the life of three materialized views, on a PostgreSQL of their own.");
  began_ = clock::now();
  co_return;
}

asio::awaitable<void> demo_story::tell(std::string conninfo, bool keep) {
  configure({{"default", conninfo}});
  chapter("A private server");
  const std::string version = co_await ask("select current_setting('server_version')");
  say(
      fmt::format("   PostgreSQL {} initialised and started in {}: a Unix socket, no port, no "
                  "password.",
                  version, pretty_duration(since(began_))));
  co_await load();
  co_await create();
  co_await list();
  co_await compare();
  co_await grow();
  co_await refresh_plainly();
  co_await refresh_while_reading();
  co_await refresh_two_at_once();
  co_await show_an_error();
  co_await apply_changes();
  co_await keep_fresh(conninfo);
  if (!keep) co_await drop();
  say(fmt::format("\nDone in {}.", pretty_duration(since(began_))));
}

asio::awaitable<std::string> demo_story::ask(std::string sql) {
  pg::lease lease = co_await leased();
  const std::vector<pg::result> results = co_await (*lease).run(std::move(sql));
  co_return results.back().string(0, 0);
}

// The best of several: what the query costs, not what the machine does beside it.
asio::awaitable<std::chrono::microseconds> demo_story::time_of(std::string sql) {
  pg::lease lease = co_await leased();
  auto best = std::chrono::microseconds::max();
  for (int i = 0; i < 5; ++i) {
    const auto began = clock::now();
    co_await (*lease).run(sql);
    best = std::min(best, since(began));
  }
  co_return best;
}

asio::awaitable<void> demo_story::load() {
  chapter("Real flights");
  const auto began = clock::now();
  pg::lease lease = co_await leased();
  co_await (*lease).run(
      "create table airports (iata text primary key, name text, city text, state text, country "
      "text, latitude float8, longitude float8); "
      "create table flights (date timestamp not null, delay int not null, distance int not null, "
      "origin text not null, destination text not null)");
  const split_csv batches = split_at_date(flights_csv(), later_from);
  const std::int64_t places =
      co_await (*lease).copy_in("copy airports from stdin (format csv, header)", airports_csv());
  const std::int64_t flown =
      co_await (*lease).copy_in("copy flights from stdin (format csv, header)", batches.earlier);
  co_await (*lease).run("analyze flights; analyze airports");
  say(fmt::format("   {} airports and {} flights of January and February 2001 loaded in {}.",
                  pretty_count(places), pretty_count(flown), pretty_duration(since(began))));
}

asio::awaitable<void> demo_story::create() {
  chapter("Three views that somebody wants: create");
  create_options by_day_options;
  by_day_options.log = log_;
  by_day_options.comment = "Mean delay of the flights from an airport on a day";
  index_definition day_key;
  day_key.columns = {"airport", "day"};
  day_key.unique = true;
  by_day_options.indexes.push_back(day_key);
  const refresh_report first = co_await acreate_matview(by_day, by_day_sql, by_day_options);
  say(told(first));

  create_options route_options;
  route_options.log = log_;
  route_options.comment = "How many flights between two airports, both ways";
  const refresh_report second = co_await acreate_matview(routes, routes_sql, route_options);
  say(told(second));

  create_options airport_options;
  airport_options.log = log_;
  airport_options.comment = "The table behind the dashboard: airports by mean delay";
  index_definition airport_key;
  airport_key.columns = {"airport"};
  airport_key.unique = true;
  airport_options.indexes.push_back(airport_key);
  const refresh_report third = co_await acreate_matview(airports, airports_sql, airport_options);
  say(told(third));
}

asio::awaitable<void> demo_story::list() {
  chapter("What there is: list");
  const std::vector<matview_info> views = co_await adescribe_matviews();
  for (const matview_info& view : views) {
    say(fmt::format("   {:<26} {:>8}  {:<28} {}", view.name, pretty_bytes(view.bytes.value_or(0)),
                    view.can_refresh_concurrently ? "can refresh concurrently" : "no unique index",
                    view.comment));
  }
}

asio::awaitable<void> demo_story::compare() {
  chapter("The dashboard's query, on the base tables and on the view");
  const std::string base_sql =
      fmt::format("select * from ({}) as airports_now{}", airports_sql, dashboard_sql);
  const std::string view_sql =
      "select * from " + std::string(airports) + std::string(dashboard_sql);
  const auto base = co_await time_of(base_sql);
  const auto view = co_await time_of(view_sql);
  say(fmt::format("   base tables {}, view {}: {:.0f} times faster.", pretty_duration(base),
                  pretty_duration(view), seconds(base) / std::max(seconds(view), 1e-6)));
  pg::lease lease = co_await leased();
  const std::vector<pg::result> rows = co_await (*lease).run(view_sql);
  for (int i = 0; i < rows[0].rows(); ++i) {
    say(fmt::format("   {}. {}, {} ({}): {} minutes late on average over {} flights", i + 1,
                    rows[0].text(i, 1), rows[0].text(i, 2), rows[0].text(i, 0), rows[0].text(i, 4),
                    rows[0].text(i, 3)));
  }
}

asio::awaitable<void> demo_story::grow() {
  chapter("The flights of March arrive");
  const split_csv batches = split_at_date(flights_csv(), later_from);
  pg::lease lease = co_await leased();
  const auto began = clock::now();
  const std::int64_t flown =
      co_await (*lease).copy_in("copy flights from stdin (format csv)", batches.later);
  say(fmt::format("   {} flights inserted in {}. The views do not know of them yet:",
                  pretty_count(flown), pretty_duration(since(began))));
  const std::string base = co_await ask("select count(*) from flights");
  const std::string view = co_await ask("select sum(flights) from " + std::string(by_day));
  say(fmt::format("   flights in the table {}, in the view {}.", base, view));
}

asio::awaitable<void> demo_story::refresh_plainly() {
  chapter("Refresh, plainly");
  refresh_options options;
  options.log = log_;
  const refresh_report report = co_await arefresh_matview(by_day, options);
  say(told(report));
  const std::string view = co_await ask("select sum(flights) from " + std::string(by_day));
  say(fmt::format("   flights in the view now {}.", view));
}

asio::awaitable<void> demo_story::refresh_while_reading() {
  using namespace asio::experimental::awaitable_operators;
  chapter("Refresh concurrently, while a reader keeps reading");
  const std::string sql = "select * from " + std::string(airports) + std::string(dashboard_sql);
  refresh_options options;
  options.log = log_;
  options.concurrently = true;
  bool stop = false;
  const auto [account, times] = co_await (
      read_until(stop, sql) && refresh_for(std::chrono::milliseconds(1000), stop, options));
  say(
      fmt::format("   {} refreshes; the reader read {} times meanwhile and waited {} at the "
                  "longest.",
                  times, pretty_count(account.reads), pretty_duration(account.longest)));
}

asio::awaitable<void> demo_story::refresh_two_at_once() {
  using namespace asio::experimental::awaitable_operators;
  chapter("Refresh two at once, from one thread");
  refresh_options options;
  options.log = log_;
  const auto began = clock::now();
  const auto [first, second] =
      co_await (arefresh_matview(by_day, options) && arefresh_matview(routes, options));
  const auto both = since(began);
  say(told(first));
  say(told(second));
  say(fmt::format("   both together took {}.", pretty_duration(both)));
}

asio::awaitable<void> demo_story::show_an_error() {
  chapter("An error that is an answer");
  refresh_options options;
  options.concurrently = true;
  std::string text;
  try {
    co_await arefresh_matview(routes, options);
  } catch (const error& refused) {
    text = fmt::format("   error: {}\n   hint:  {}", refused.what(), refused.hint());
  }
  if (text.empty()) {
    throw error(errc::server_error, "the refresh that must be refused was not refused");
  }
  say(text);
}

asio::awaitable<void> demo_story::apply_changes() {
  chapter("Incremental: a refresh that costs what has changed");
  create_options options;
  options.kind = view_kind::incremental;
  options.log = log_;
  const refresh_report made =
      co_await acreate_matview("delay_incremental", std::string(by_day_sql), options);
  say(told(made));
  // Both have seen the same flights by now; then some are late.
  refresh_options refresh;
  refresh.log = log_;
  co_await arefresh_matview(by_day, refresh);
  const std::string late = co_await ask(
      "with late as (update flights set delay = delay + 10 where ctid in (select ctid from flights "
      "order by date, origin, destination limit 20) returning 1) select count(*) from late");
  const refresh_report applied = co_await arefresh_matview("delay_incremental", refresh);
  if (applied.mode != refresh_mode::incremental) {
    throw error(errc::server_error,
                "the view was not refreshed by what changed: " + applied.reason);
  }
  const refresh_report computed = co_await arefresh_matview(by_day, refresh);
  say(fmt::format("   {} flights are later: applied in {}, REFRESH took {}.", late,
                  pretty_duration(applied.duration), pretty_duration(computed.duration)));
  const std::string differ = co_await ask(
      "select count(*) from ((table delay_incremental except all table delay_by_airport_and_day) "
      "union all (table delay_by_airport_and_day except all table delay_incremental)) d");
  if (differ != "0") throw error(errc::server_error, "the incremental view is not the same");
  say("   both show the same.");
  drop_options drop;
  drop.log = log_;
  co_await adrop_matview("delay_incremental", drop);
}

// Asks again and again until there is an answer; `what` is waited for.
asio::awaitable<std::string> demo_story::ask_until(std::string sql, std::string what) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  pg::lease lease = co_await leased();
  const auto until = clock::now() + std::chrono::seconds(15);
  while (clock::now() < until) {
    const std::vector<pg::result> results = co_await (*lease).run(sql);
    if (results.back().rows() > 0) co_return results.back().string(0, 0);
    timer.expires_after(std::chrono::milliseconds(20));
    co_await timer.async_wait(pg::as_value);
    co_await pg::refuse_if_cancelled();
  }
  throw error(errc::server_error, fmt::format("{} did not happen within 15 s", what));
}

asio::awaitable<void> demo_story::keep_fresh(const std::string& conninfo) {
  chapter("By the clock: a schedule every second, two workers, and one of them is killed");
  create_options options;
  options.log = log_;
  const std::string heavy_sql =
      fmt::format("select r.* from ({}) as r, (select pg_sleep(0.3)) as work",
                  routes_sql);  // It takes a while.
  co_await acreate_matview("heavy_report", heavy_sql, options);
  tasks::schedule_definition schedule;
  schedule.name = "heavy_report";
  schedule.task = "refresh";
  schedule.args = R"({"view": "heavy_report"})";
  schedule.every = interval::parse("1 second");
  schedule.missed = tasks::missed::all;
  schedule.overlap = tasks::overlap::allow;
  co_await tasks::aset_schedule(schedule);

  worker_process first(conninfo);
  worker_process second(conninfo);
  say(fmt::format("   heavy_report is refreshed every second by processes {} and {}.", first.id(),
                  second.id()));
  const std::string doomed = co_await ask_until(
      "select j.id || ' ' || w.pid from matview.job j join matview.worker w on "
      "w.id = j.worker_id where j.state = 'running' and j.tick > (select "
      "min(tick) + interval '1 s' from matview.job)",
      "a refresh");
  const std::string job = doomed.substr(0, doomed.find(' '));
  const std::string pid = doomed.substr(doomed.find(' ') + 1);
  worker_process& victim = pid == std::to_string(first.id()) ? first : second;
  const auto killed = clock::now();
  victim.kill();
  say(fmt::format("   Process {} was killed with SIGKILL in the middle of a refresh.", pid));
  const std::string heir = co_await ask_until(
      "select w.pid from matview.job j join matview.worker w on w.id = j.worker_id where j.id = " +
          job + " and j.attempt = 2",
      "the takeover");
  say(fmt::format("   Process {} took it over {} later.", heir, pretty_duration(since(killed))));

  co_await ask("update matview.schedule set paused_at = clock_timestamp() returning name");
  const std::string tally = co_await ask_until(
      "select format('%s ticks, %s jobs done: doubles %s, lost %s', "
      "extract(epoch from max(tick) - min(tick))::int + 1, count(*), "
      "count(*) - count(distinct tick), "
      "extract(epoch from max(tick) - min(tick))::int + 1 - count(distinct tick)) "
      "from matview.job having bool_and(state = 'done')",
      "the end of all jobs");
  say(fmt::format("   {}.", tally));
  const auto stop_both = [&] {
    first.stop();
    second.stop();
    return true;
  };
  co_await pg::on_helper_thread(stop_both);
  co_await ask("delete from matview.schedule returning name");
  drop_options drop;
  drop.log = log_;
  co_await adrop_matview("heavy_report", drop);
}

asio::awaitable<void> demo_story::drop() {
  chapter("The end: drop");
  for (const std::string_view name : {by_day, routes, airports}) {
    drop_options options;
    options.if_exists = false;
    options.log = log_;
    co_await adrop_matview(name, options);
  }
  const std::vector<std::string> left = co_await alist_matviews();
  say(fmt::format("   three dropped, {} left.", left.size()));
}

}  // namespace matview::cli

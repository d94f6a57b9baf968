#include "tasks/tick_claimer.hpp"

#include "pg/connection.hpp"
#include "store/task_statements.hpp"
#include "tasks/policies.hpp"
#include "tasks/ticks.hpp"
#include "tasks/values.hpp"
#include "tasks/wake_up.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>

#include <iterator>
#include <vector>

namespace matview::tasks {

namespace {

constexpr std::int64_t batch = 500;

instant instant_of(std::int64_t microseconds) {
  return instant(std::chrono::microseconds(microseconds));
}

// The columns of claim_ticks, a row for each schedule.
class tick_claims final {
 public:
  void add(const std::string& name, std::int64_t expected, const tick_plan& plan,
           std::int64_t revision) {
    names_.push_back(name);
    reasons_.push_back(plan.why);
    append(expected_, expected);
    append(ticks_, plan.tick);
    append(next_, plan.next);
    append(revisions_, revision);
    append(first_, plan.first_missed);
    append(last_, plan.last_missed);
  }

  [[nodiscard]] bool empty() const { return names_.empty(); }

  [[nodiscard]] std::vector<pg::parameter> parameters() const {
    std::vector<pg::parameter> out;
    out.emplace_back(pg::array_literal(names_));
    for (const std::string* column : {&expected_, &ticks_, &next_, &revisions_, &first_, &last_}) {
      out.emplace_back('{' + *column + '}');
    }
    out.emplace_back(pg::array_literal(reasons_));
    return out;
  }

 private:
  static void append(std::string& column, std::int64_t value) {
    fmt::format_to(std::back_inserter(column), "{}{}", column.empty() ? "" : ",", value);
  }
  static void append(std::string& column, const std::optional<instant>& value) {
    if (value) {
      append(column, value->time_since_epoch().count());
    } else {
      column += column.empty() ? "NULL" : ",NULL";
    }
  }

  std::vector<std::string> names_;
  std::vector<std::string> reasons_;
  std::string expected_;
  std::string ticks_;
  std::string next_;
  std::string revisions_;
  std::string first_;
  std::string last_;
};

}  // namespace

asio::awaitable<tick_claimer::claimed> tick_claimer::claim_some(own_session& on) {
  const std::vector<pg::parameter> most{fmt::format("{}", batch)};
  const pg::result due = co_await on.ask(store::sql::due_schedules, most);
  claimed out;
  if (due.rows() == 0) {
    const std::vector<pg::parameter> nothing;
    const pg::result next = co_await on.ask(store::sql::next_schedule, nothing);
    out.look_next = moment(number_at(next, 0, 0));
    co_return out;
  }
  const std::size_t count = co_await claim(on, due);
  out.made_jobs = count > 0;
  // Another worker has them in hand.
  if (count == 0) out.look_next = moment(0.05 * jitter_.around_one(0.5));
  co_return out;
}

asio::awaitable<std::size_t> tick_claimer::claim(own_session& on, const pg::result& due) {
  tick_claims claims;
  for (int row = 0; row < due.rows(); ++row) {
    const std::string name = due.string(row, 0);
    const std::int64_t expected = due.integer(row, 7);
    const std::int64_t revision = due.integer(row, 6);
    due_schedule what{.next_at = instant_of(expected),
                      .now = instant_of(due.integer(row, 8)),
                      .missed = policy_of<missed>(missed_words, due.text(row, 4)),
                      .window = std::chrono::microseconds(due.integer(row, 5)),
                      .following = {}};
    const std::chrono::microseconds period(due.integer(row, 3));
    std::optional<std::string> unreadable;
    try {
      if (period.count() > 0) {
        what.following = every(what.next_at, period);
      } else {
        const cron& when = cron_of(due.string(row, 1), due.string(row, 2));
        what.following = [&when](instant at) { return when.next_after(at); };
      }
    } catch (const error& refused) {
      unreadable = refused.what();
    }
    if (unreadable) {
      co_await suspend(on, name, revision, *unreadable);
      continue;
    }
    claims.add(name, expected, plan_ticks(what), revision);
  }
  if (claims.empty()) co_return 1;  // All were suspended: look again.
  const std::vector<pg::parameter> values = claims.parameters();
  const pg::result made = co_await on.ask(store::sql::claim_ticks, values);
  co_return static_cast<std::size_t>(made.rows());
}

// A definition that this program cannot read would be due for ever.
asio::awaitable<void> tick_claimer::suspend(own_session& on, const std::string& schedule,
                                            std::int64_t revision, const std::string& why) {
  const std::vector<pg::parameter> values{schedule, fmt::format("{}", revision),
                                          "suspended, since it cannot be read: " + why};
  co_await on.ask(store::sql::suspend_schedule, values);
  log_(log_level::warning, "schedule suspended", {{"schedule", schedule}, {"error", why}});
}

const cron& tick_claimer::cron_of(const std::string& expression, const std::string& zone) {
  constexpr std::size_t most = 10'000;
  if (crons_.size() > most) crons_.clear();
  auto key = std::pair(expression, zone);
  auto found = crons_.find(key);
  if (found == crons_.end()) found = crons_.emplace(key, cron::parse(expression, zone)).first;
  return found->second;
}

}  // namespace matview::tasks

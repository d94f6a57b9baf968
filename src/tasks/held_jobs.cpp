#include "tasks/held_jobs.hpp"

#include "tasks/performance.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <set>
#include <utility>

namespace matview::tasks {

namespace {

// `1 2 3`.
std::vector<std::int64_t> numbers_of(std::string_view text) {
  std::vector<std::int64_t> out;
  while (!text.empty()) {
    std::int64_t number = 0;
    const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc()) break;
    out.push_back(number);
    text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
    if (!text.empty()) text.remove_prefix(1);
  }
  return out;
}

// Of ids and attempts.
std::set<std::pair<std::int64_t, std::int64_t>> claims_of(std::string_view text) {
  std::set<std::pair<std::int64_t, std::int64_t>> out;
  const std::vector<std::int64_t> pairs = numbers_of(text);
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) out.emplace(pairs[i], pairs[i + 1]);
  return out;
}

}  // namespace

void held_jobs::start(job what) {
  running_.emplace_back(std::move(what), state_.pulse);
  const auto mine = std::prev(running_.end());
  const clock::time_point began = clock::now();
  if (mine->what.timeout) {
    mine->limit = std::make_unique<asio::steady_timer>(setup_.executor);
    mine->limit->expires_after(std::chrono::ceil<std::chrono::milliseconds>(
        std::chrono::duration<double>(*mine->what.timeout)));
    const claim which(mine->what.id, mine->what.attempt);
    mine->limit->async_wait([this, which](const boost::system::error_code& ended) {
      if (!ended) time_out(which);
    });
  }
  if (setup_.log) {
    setup_.log(log_level::debug, "job started",
               {{"id", mine->what.id},
                {"task", mine->what.task},
                {"attempt", mine->what.attempt},
                {"waited_seconds", mine->what.waited}});
  }
  stage on{setup_.database, *state_.id, setup_.threads, setup_.answer_time(), setup_.log.sink()};
  asio::co_spawn(
      setup_.executor, perform(mine->what, setup_.tasks.at(mine->what.task), std::move(on)),
      asio::bind_cancellation_slot(mine->stop.slot(),
                                   [this, mine, began](std::exception_ptr thrown, job_end how) {
                                     if (thrown) std::rethrow_exception(thrown);  // Out of memory.
                                     end(mine, std::move(how), clock::now() - began);
                                   }));
}

// Not by a pointer: the job may have ended while this was on its way.
void held_jobs::time_out(claim which) {
  const auto late = std::find_if(running_.begin(), running_.end(), [which](const running_job& one) {
    return claim(one.what.id, one.what.attempt) == which;
  });
  if (late == running_.end()) return;
  late->timed_out = true;
  late->stop.emit(asio::cancellation_type::terminal);
}

void held_jobs::end(std::list<running_job>::iterator which, job_end how, clock::duration took) {
  using kind = job_end::kind;
  job what = std::move(which->what);
  const bool stopped = how.how == kind::failed && how.cancelled;
  if (stopped && which->timed_out) {
    how.error = fmt::format("it ran longer than its timeout of {} s", *what.timeout);
  }
  const bool lost = which->lost || how.how == kind::stale;
  const bool given_back = which->given_back && stopped;
  running_.erase(which);
  state_.turn.wake();
  if (lost && how.how != kind::completed) {
    setup_.log(log_level::warning, "result discarded",
               {{"id", what.id}, {"task", what.task}, {"attempt", what.attempt}});
    return;
  }
  if (given_back) {
    to_give_back.push_back(std::move(what));
    return;
  }
  if (how.how == kind::failed) {
    failed.push_back({std::move(what), std::move(how), took});
    return;
  }
  if (setup_.log) {
    setup_.log(log_level::info, "job done",
               {{"id", what.id},
                {"task", what.task},
                {"queue", what.queue},
                {"attempt", what.attempt},
                {"waited_seconds", what.waited},
                {"seconds", seconds_of(took)}});
  }
  if (how.how == kind::completed) {
    state_.look = state_.look || what.keyed;
  } else {
    done.push_back({std::move(what), std::move(how), took});
  }
}

void held_jobs::stop_all() {
  for (running_job& one : running_) {
    one.given_back = true;
    one.stop.emit(asio::cancellation_type::terminal);
  }
}

void held_jobs::lose_all() {
  for (running_job& one : running_) {
    one.lost = true;
    one.stop.emit(asio::cancellation_type::terminal);
  }
}

void held_jobs::compare(const pulse_answer& told) {
  const std::set<claim> held = claims_of(told.held);
  const std::vector<std::int64_t> listed = numbers_of(told.to_cancel);
  const std::set<std::int64_t> unwanted(listed.begin(), listed.end());
  for (running_job& one : running_) {
    const bool gone = one.pulse < told.pulse && !held.contains({one.what.id, one.what.attempt});
    if (gone && !one.lost) {
      one.lost = true;
      setup_.log(log_level::warning, "job lost", {{"id", one.what.id}, {"task", one.what.task}});
    }
    if (gone || unwanted.contains(one.what.id)) one.stop.emit(asio::cancellation_type::terminal);
  }
  if (state_.fetching) return;
  for (const claim& ours : claims_of(told.renewed)) {
    if (!knows(ours)) to_give_back.push_back({.id = ours.first, .attempt = ours.second});
  }
}

bool held_jobs::knows(claim which) const {
  const auto is_it = [which](const job& one) { return claim(one.id, one.attempt) == which; };
  const auto has_it = [is_it](const auto& one) { return is_it(one.what); };
  return std::any_of(running_.begin(), running_.end(), has_it) ||
         std::any_of(done.begin(), done.end(), has_it) ||
         std::any_of(failed.begin(), failed.end(), has_it) ||
         std::any_of(to_give_back.begin(), to_give_back.end(), is_it);
}

}  // namespace matview::tasks

#include "tasks/performance.hpp"

#include "pg/answer_limit.hpp"
#include "pg/transaction.hpp"
#include "store/task_statements.hpp"
#include "tasks/retry.hpp"
#include "text/quote.hpp"
#include "views/one_refresh.hpp"
#include "views/patience.hpp"
#include "views/refresh.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace matview::tasks {

namespace json = boost::json;

namespace {

// Whoever took the job away has counted its end already: the work must be undone, not told of.
struct stale_claim {};

[[noreturn]] void refuse_arguments(const job& what, std::string_view wanted) {
  throw error(errc::invalid_option,
              fmt::format("the arguments of task {} are {}", what.task, text::shown(what.args)),
              {.hint = fmt::format("it takes {}", wanted)});
}

json::object arguments_of(const job& what) {
  json::error_code unreadable;
  json::value parsed = json::parse(what.args, unreadable);
  if (unreadable || !parsed.is_object()) refuse_arguments(what, "a JSON object");
  return std::move(parsed.as_object());
}

views::refresh_task refresh_of(const job& what) {
  const json::object arguments = arguments_of(what);
  const json::value* view = arguments.if_contains("view");
  const json::value* concurrently = arguments.if_contains("concurrently");
  const json::value* mode = arguments.if_contains("mode");
  const json::value* if_changed = arguments.if_contains("if_changed");
  const bool readable = view != nullptr && view->is_string() &&
                        (concurrently == nullptr || concurrently->is_bool()) &&
                        (mode == nullptr || mode->is_string()) &&
                        (if_changed == nullptr || if_changed->is_bool());
  if (!readable) refuse_arguments(what, R"({"view": "sales.daily", "mode": "auto"})");
  views::refresh_task out{std::string(view->as_string()), {}};
  out.options.concurrently = concurrently != nullptr && concurrently->as_bool();
  out.options.care = care_options();
  out.options.if_changed = if_changed != nullptr && if_changed->as_bool();
  if (mode != nullptr) {
    for (const auto known :
         {refresh_mode::full, refresh_mode::concurrently, refresh_mode::automatic}) {
      if (to_string(known) == std::string_view(mode->as_string())) out.options.mode = known;
    }
    if (!out.options.mode) refuse_arguments(what, R"("mode": "auto", "full" or "concurrently")");
  }
  return out;
}

std::string sql_of(const job& what) {
  const json::object arguments = arguments_of(what);
  const json::value* sql = arguments.if_contains("sql");
  if (sql == nullptr || !sql->is_string()) refuse_arguments(what, R"({"sql": "..."})");
  return std::string(sql->as_string());
}

// Fences and completes the job in the transaction that its work was done in.
asio::awaitable<void> complete_within(pg::transaction& in, const job& what, std::int64_t worker) {
  std::vector<pg::parameter> values{fmt::format("{}", worker), fmt::format("{{{}}}", what.id),
                                    fmt::format("{{{}}}", what.attempt)};
  const pg::result done = co_await in.on().query(store::sql::complete.sql, std::move(values));
  if (done.rows() == 0) throw stale_claim();
}

// The transaction begins here, so that what runs on the connection next is inside it; and READ
// COMMITTED, because the heartbeat changes the job's row meanwhile.
asio::awaitable<void> begin(pg::transaction& in, const stage& on, std::string_view more = "") {
  const auto executor = co_await asio::this_coro::executor;
  const pg::answer_limit limit(in.on(), executor, on.answer_time);
  co_await in.run(
      fmt::format("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL application_name = "
                  "'matview worker {}'{}{}",
                  on.worker, more.empty() ? "" : "; ", more));
}

// Work and completion in one transaction, so that its effect is exactly once.
asio::awaitable<job_end> refresh_once(pg::connection& on, const job& what,
                                      const views::refresh_task& task,
                                      const refresh_options& options, const stage& where, int tries,
                                      refresh_report& into) {
  // The transaction is ours, so that readers may be let pass: refresh_on() takes it for a caller's.
  const std::string more = options.lock_timeout ? std::string() : views::give_way();
  const auto work = [&](pg::transaction& in) -> asio::awaitable<bool> {
    co_await begin(in, where, more);
    refresh_options copy = options;
    into = co_await views::refresh_on(on, task.name, std::move(copy), tries);
    co_await complete_within(in, what, where.worker);
    co_return true;
  };
  co_await pg::in_transaction(on, work);
  co_return job_end{.how = job_end::kind::completed};
}

asio::awaitable<job_end> refresh(const job& what, const views::refresh_task& task,
                                 const stage& on) {
  pg::lease leased = co_await on.database->acquire(on.log);
  refresh_options options = task.options;
  options.count_rows = false;
  options.asked_by = what.schedule.empty() ? refresh_origin::api : refresh_origin::schedule;
  const auto began = std::chrono::steady_clock::now();
  int tried = 0;
  refresh_report report;
  const auto once = [&](int tries) -> asio::awaitable<job_end> {
    tried = tries;
    try {
      co_return co_await refresh_once(*leased, what, task, options, on, tries, report);
    } catch (const views::recompile_needed&) {  // Below: no co_await stands in a handler.
    }
    refresh_options anew = options;
    anew.mode = co_await views::make_ready(*leased, task.name, options, tries);
    std::optional<views::recompile_needed> again;
    try {
      co_return co_await refresh_once(*leased, what, task, anew, on, tries, report);
    } catch (const views::recompile_needed& needed) {
      again = needed;
    }
    throw error(views::still_changing(*again));
  };
  std::optional<error> failure;
  try {
    const auto until = began + (options.lock_timeout ? std::chrono::minutes(0) : views::all_waits);
    job_end end = co_await views::patiently(until, once);
    co_await views::care_after(*leased, task.name, options, report);
    co_return end;
  } catch (const error& failed) {
    failure = failed;
  }
  co_await views::record_failure(*leased, task.name, options, *failure, tried, began);
  throw error(*failure);
}

asio::awaitable<job_end> run_sql(const job& what, const std::string& sql, const stage& on) {
  pg::lease leased = co_await on.database->acquire(on.log);
  const auto work = [&](pg::transaction& in) -> asio::awaitable<bool> {
    co_await begin(in, on);
    co_await leased->query(sql);  // The extended protocol: one statement.
    if (leased->transaction_status() != PQTRANS_INTRANS) {
      throw error(errc::invalid_option, "the statement of a task must not end the transaction",
                  {.sqlstate = "25001", .hint = "leave COMMIT and ROLLBACK out"});
    }
    co_await complete_within(in, what, on.worker);
    co_return true;
  };
  co_await pg::in_transaction(*leased, work);
  co_return job_end{.how = job_end::kind::completed};
}

template <class Call>
asio::awaitable<job_end> block(Call call, asio::thread_pool& threads) {
  const auto work = [call = std::move(call)] {
    call();
    return true;
  };
  co_await pg::on_thread(threads, work);
  co_return job_end();
}

asio::awaitable<job_end> run_coroutine(const coroutine_task& task, const job& what) {
  const json::object arguments = arguments_of(what);
  co_await task(arguments);
  co_return job_end();
}

// Dispatches on how the task is run.
struct runner {
  const job& what;
  const stage& on;

  asio::awaitable<job_end> operator()(const refresh_by_arguments&) const {
    const views::refresh_task task = refresh_of(what);
    co_return co_await refresh(what, task, on);
  }
  asio::awaitable<job_end> operator()(const sql_by_arguments&) const {
    const std::string sql = sql_of(what);
    co_return co_await run_sql(what, sql, on);
  }
  asio::awaitable<job_end> operator()(const views::refresh_task& task) const {
    return refresh(what, task, on);
  }
  asio::awaitable<job_end> operator()(const plain_task& task) const {
    return block(task, on.threads);
  }
  asio::awaitable<job_end> operator()(const argument_task& task) const {
    return block([task, arguments = arguments_of(what)] { task(arguments); }, on.threads);
  }
  asio::awaitable<job_end> operator()(const coroutine_task& task) const {
    return run_coroutine(task, what);
  }
};

job_end failure(const error& failed) {
  std::string text = failed.what();
  if (!failed.hint().empty()) text += fmt::format(" (hint: {})", failed.hint());
  return {.how = job_end::kind::failed,
          .error = std::move(text),
          .permanent = is_permanent(failed),
          .cancelled = failed.code() == errc::cancelled};
}

}  // namespace

asio::awaitable<job_end> perform(job what, const handler& how, stage on) {
  co_await pg::shield_cancellation();
  job_end end{.how = job_end::kind::failed};
  try {
    const runner run{what, on};
    end = co_await std::visit(run, how);
  } catch (const error& failed) {
    end = failure(failed);
  } catch (const stale_claim&) {
    end.how = job_end::kind::stale;
  } catch (const boost::system::system_error& failed) {
    end.error = failed.what();
    end.cancelled = failed.code() == asio::error::operation_aborted;
  } catch (const std::exception& failed) {
    end.error = failed.what();
  } catch (...) {
    end.error = "the task threw something that is no std::exception";
  }
  co_return end;
}

}  // namespace matview::tasks

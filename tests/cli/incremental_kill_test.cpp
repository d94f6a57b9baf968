// The program that refreshes incremental views, its backend, or the whole server is killed with
// SIGKILL at every step of a refresh. Readers find the old contents or the new ones, and the next
// refresh takes in what is left. At moments of chance: ../pg/incremental_crash_test.cpp.
#include "cli_fixture.hpp"
#include "pg/fake_servers.hpp"
#include <matview/matview.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace matview::test {
namespace {

struct watched_view {
  std::string name;
  std::string sql;
  std::string told;  // The same without other views: what it has to show.
};

const std::vector<watched_view>& known_views() {
  static const std::string sums =
      "SELECT s.name, count(*) AS n, sum(r.x) AS sx FROM r JOIN s USING (a) GROUP BY 1";
  static const std::string keyed = "SELECT r.id, r.x, s.name FROM r LEFT JOIN s USING (a)";
  static const std::string above = "SELECT name, count(*) AS n, max(x) AS mx FROM {} GROUP BY 1";
  static const std::vector<watched_view> views{
      {"sums", sums, sums},
      {"keyed", keyed, keyed},
      {"above", fmt::format(fmt::runtime(above), "keyed"),
       fmt::format(fmt::runtime(above), "(" + keyed + ") AS k")}};
  return views;
}

class KilledRefresh : public cli_test {
 protected:
  ~KilledRefresh() override { configure({}); }

  // The first of the known views.
  void make_views(const std::string& url, std::size_t count) {
    url_ = url;
    configure({{"default", with_parameter(url, "application_name", "next")}});
    session& at = looking();
    at.execute(
        "CREATE TABLE r (id int PRIMARY KEY, a int, x int);"
        "CREATE TABLE s (a int PRIMARY KEY, name text);"
        "INSERT INTO s SELECT i, 'n' || i FROM generate_series(0, 9) i;"
        "INSERT INTO r SELECT i, i % 10, i FROM generate_series(1, 200) i");
    views_.assign(known_views().begin(), known_views().begin() + static_cast<long>(count));
    for (const watched_view& view : views_) {
      create_matview(view.name, view.sql, {.kind = view_kind::incremental});
      at.execute(fmt::format("CREATE TABLE was_{} AS {} WITH NO DATA", view.name, view.told));
    }
  }

  // After it each view has to show something else than it does.
  void change() {
    ++round_;
    session& at = looking();
    for (const watched_view& view : views_) {
      at.execute(fmt::format("DELETE FROM was_{0}; INSERT INTO was_{0} {1}", view.name, view.told));
    }
    at.execute(fmt::format(
        "UPDATE r SET x = x + 1, a = (a + 1) % 10 WHERE id % 7 = {0} % 7;"
        "DELETE FROM r WHERE id = {0}; INSERT INTO r VALUES (1000 + {0}, {0} % 10, {0});"
        "UPDATE s SET name = 'm{0}' WHERE a = {0} % 10",
        round_));
    for (const watched_view& view : views_) {
      EXPECT_NE(difference(at, "was_" + view.name, view.told), "0") << view.name;
    }
    done_before_ = done();
  }

  // What all of them show: "old", "new", or something that they never may.
  std::string shown() {
    session& at = looking();
    std::set<std::string> found;
    for (const watched_view& view : views_) {
      const bool old = difference(at, view.name, "TABLE was_" + view.name) == "0";
      const bool fresh = difference(at, view.name, view.told) == "0";
      found.insert(old ? "old" : fresh ? "new" : "wrong contents of " + view.name);
    }
    return found.size() == 1 ? *found.begin() : fmt::format("{}", fmt::join(found, " beside "));
  }

  // What the history says agrees with it, and the next refresh makes of it what it has to be.
  void expect_next_refresh_after(const std::string& what) {
    const auto all = static_cast<int>(views_.size());
    EXPECT_EQ(done() - done_before_, what == "new" ? all : 0);
    for (const watched_view& view : views_) {
      const refresh_report next = refresh_matview(view.name);
      EXPECT_EQ(to_string(next.mode), what == "new" ? "none" : "incremental")
          << view.name << ": " << next.reason;
    }
    EXPECT_EQ(shown(), "new");
  }

  // Sessions of the program, where the tests' own go by other names.
  [[nodiscard]] std::string sessions(const std::string& more = "") {
    return looking().query_one(
        "SELECT coalesce(min(pid), 0) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'matview%'" +
        more);
  }
  [[nodiscard]] bool all_have_left() {
    return eventually([this] { return sessions() == "0"; });
  }
  // One session as long as the server lives.
  session& looking() {
    if (!looking_) looking_ = std::make_unique<session>(url_);
    return *looking_;
  }
  // Whether that session lives.
  bool answers() {
    try {
      return looking().query_one("SELECT 1") == "1";
    } catch (const std::runtime_error&) {
      looking_.reset();
      return false;
    }
  }
  [[nodiscard]] const std::string& url() const noexcept { return url_; }

 private:
  static std::string difference(session& at, const std::string& relation,
                                const std::string& query) {
    return at.query_one(
        fmt::format("SELECT count(*) FROM ((TABLE {0} EXCEPT ALL ({1})) UNION ALL "
                    "(({1}) EXCEPT ALL TABLE {0})) AS d",
                    relation, query));
  }
  [[nodiscard]] int done() {
    return std::stoi(
        looking().query_one("SELECT count(*) FROM matview.refresh WHERE outcome = 'done'"));
  }

  std::string url_;
  std::unique_ptr<session> looking_;
  std::vector<watched_view> views_;
  int round_ = 0;
  int done_before_ = 0;
};

// ---- Between client and server

struct way {
  std::string name;
  std::vector<std::string> arguments;
  std::size_t views;
  std::string mode;
};

void PrintTo(const way& one, std::ostream* to) {
  *to << one.name;
}

class KilledAtEachMessage : public KilledRefresh, public testing::WithParamInterface<way> {
 protected:
  KilledAtEachMessage() : between(db.url()) { make_views(db.url(), GetParam().views); }

  [[nodiscard]] process refresh() const {
    return start(GetParam().arguments, {.env = {{"MATVIEW_URL", between.url()}}});
  }
  // How many moments a refresh has that nobody disturbs.
  int moments() {
    change();
    between.stand_still_at(0);
    const process_result whole = refresh().wait();
    EXPECT_EQ(whole.exit_code, 0) << whole.err;
    EXPECT_TRUE(contains(whole.out, GetParam().mode)) << whole.out;
    EXPECT_EQ(shown(), "new");
    return between.moments();
  }
  void kill_at(int moment) {
    between.stand_still_at(moment);
    process killed = refresh();
    ASSERT_TRUE(eventually([this] { return between.stands_still(); }));
    killed.send_signal(SIGKILL);
    ASSERT_EQ(killed.wait().exit_code, 128 + SIGKILL) << "it had ended by itself";
    ASSERT_TRUE(all_have_left());
  }

  proxy between;
};

INSTANTIATE_TEST_SUITE_P(
    Refresh, KilledAtEachMessage,
    testing::Values(way{"ByChanges", {"refresh", "sums"}, 1, "incremental"},
                    way{"Full", {"refresh", "sums", "--mode", "full"}, 1, "full"},
                    way{"Swap", {"refresh", "sums", "--mode", "swap"}, 1, "swap"},
                    way{"Together", {"refresh", "--all", "--atomic"}, 3, "incremental"}),
    [](const auto& row) { return row.param.name; });

TEST_P(KilledAtEachMessage, TheProgramLeavesTheOldContentsOrTheNew) {
  const int count = moments();
  ASSERT_GE(count, 20);
  std::string before = "old";
  for (int moment = 1; moment <= count; ++moment) {
    SCOPED_TRACE(fmt::format("moment {} of {}", moment, count));
    change();
    kill_at(moment);
    if (HasFatalFailure()) return;
    const std::string now = shown();
    EXPECT_TRUE(now == before || now == "new") << now << " after " << before;
    expect_next_refresh_after(now);
    before = now;
  }
  EXPECT_EQ(before, "new") << "when all but the farewell was said";
}

// ---- Inside the server

enum class victim { client, backend, server };

struct killing {
  std::string name;
  victim who;
  std::vector<std::string> arguments;
  std::size_t views = 1;
};

void PrintTo(const killing& one, std::ostream* to) {
  *to << one.name;
}

// Where a refresh is made to wait: by what another session holds, or by a trigger.
struct step {
  std::string name;
  std::string in;  // The statement that then waits, a LIKE pattern.
  std::string held;
  std::string trigger = {};
  std::string options = {};  // Of the connection: it waits by itself.
  bool committed = false;
};

constexpr const char* in_refresh = "%FROM matview.refresh(%";
constexpr const char* in_commit = "COMMIT%";
constexpr const char* in_prune = "%matview.prune(%";

// Of a refresh that ends with the view of this number.
std::vector<step> steps_of(std::size_t last) {
  const std::string storage = fmt::format("matview.storage_{}", last);
  const std::string writing = "INSERT OR UPDATE OR DELETE ON " + storage;
  const std::string watermark =
      fmt::format("UPDATE ON matview.incremental FOR EACH ROW WHEN (NEW.id = {})", last);
  const std::string history = "AFTER INSERT ON matview.refresh ";
  return {
      {"before its tables are locked", "%", "LOCK TABLE r IN ACCESS EXCLUSIVE MODE"},
      {"before its row is locked", in_refresh, "SELECT FROM matview.incremental FOR UPDATE"},
      {"before the change is planned", in_refresh, "LOCK TABLE " + storage + " IN SHARE MODE"},
      {"before its first row", in_refresh, "", "BEFORE " + writing + " FOR EACH STATEMENT"},
      {"between two rows", in_refresh, "", "BEFORE " + writing + " FOR EACH ROW"},
      {"before the watermark", in_refresh, "", "BEFORE " + watermark},
      {"after the watermark", in_refresh, "", "AFTER " + watermark},
      {"after all rows", in_refresh, "", "AFTER " + writing + " FOR EACH STATEMENT"},
      {"before its state", "%INSERT INTO matview.view%", "LOCK TABLE matview.view IN SHARE MODE"},
      {"before its history", "%INTO matview.refresh%", "LOCK TABLE matview.refresh IN SHARE MODE"},
      {"after its history", "%INTO matview.refresh%", "", history + "FOR EACH STATEMENT"},
      {"in the commit", in_commit, "", history + "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"},
      {"after the commit", in_commit, "", "", "-c synchronous_commit=on", true},
      {"before pruning", in_prune, "LOCK TABLE matview.log_1 IN SHARE MODE", "", "", true},
      {"after pruning", in_prune, "", "AFTER DELETE ON matview.log_1 FOR EACH STATEMENT", "", true},
  };
}

std::vector<step> steps_of(const killing& one) {
  std::vector<step> out = steps_of(one.views);
  const auto& words = one.arguments;
  if (std::find(words.begin(), words.end(), "--mode") == words.end()) {
    out.insert(out.begin() + 1,
               {"before changes are counted", in_refresh, "LOCK TABLE matview.log_1"});
  }
  if (one.who == victim::client) {  // That one waits on after its client.
    std::erase_if(out, [](const step& at) { return !at.options.empty(); });
  }
  return out;
}

class KilledAtEachStep : public KilledRefresh, public testing::WithParamInterface<killing> {
 protected:
  KilledAtEachStep() {
    server.start();
    make_views(server.url(), GetParam().views);
    // Of the rows of a storage it waits before the second.
    looking().execute(
        "CREATE SEQUENCE visited;"
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_WHEN || TG_LEVEL || TG_TABLE_NAME !~ '^BEFOREROWstorage' "
        "OR nextval('public.visited') = 2 "
        "THEN PERFORM pg_advisory_xact_lock_shared(4711, TG_ARGV[0]::int); END IF; "
        "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$");
  }

  // With a trigger it waits while another session holds its number.
  void prepare(step& at, std::size_t number) {
    if (at.held.empty()) at.held = fmt::format("SELECT pg_advisory_lock(4711, {})", number);
    if (at.trigger.empty()) return;
    looking().execute(fmt::format("CREATE {} TRIGGER wait_{} {} EXECUTE FUNCTION wait({})",
                                  contains(at.trigger, "DEFERRED") ? "CONSTRAINT" : "", number,
                                  at.trigger, number));
  }

  [[nodiscard]] process refresh(const std::string& options = "") const {
    std::vector<std::string> arguments = GetParam().arguments;
    // Else it would give up waiting, and try again.
    arguments.insert(arguments.end(), {"--lock-timeout", "1 minute"});
    return start(arguments, {.env = {{"MATVIEW_URL", with_parameter(url(), "options", options)}}});
  }

  void kill_at(const step& at) {
    looking().execute("SELECT setval('visited', 1, false)");
    auto holder = std::make_unique<session>(url());
    holder->execute("BEGIN; " + at.held);
    process killed = refresh(at.options);
    const std::string waiting = fmt::format(
        " AND (wait_event_type = 'Lock' OR wait_event = 'SyncRep') AND query LIKE '{}'", at.in);
    ASSERT_TRUE(eventually([&] { return sessions(waiting) != "0"; })) << "it does not come here";
    switch (GetParam().who) {
      case victim::client:
        killed.send_signal(SIGKILL);
        ASSERT_EQ(killed.wait().exit_code, 128 + SIGKILL);
        holder.reset();
        ASSERT_TRUE(all_have_left());
        return;
      case victim::backend:
        ASSERT_EQ(::kill(std::stoi(sessions(waiting)), SIGKILL), 0);
        // Until the server has noticed: then it ends all sessions and recovers.
        ASSERT_TRUE(eventually([this] { return !answers(); }));
        break;
      case victim::server:
        server.kill_now();
        EXPECT_FALSE(answers());
        server.start();
        break;
    }
    ASSERT_TRUE(eventually([this] { return answers(); }));
    const process_result ended = killed.wait();
    EXPECT_EQ(ended.exit_code == 0, at.in == in_prune) << ended.out << ended.err;
  }

  // A commit waits for nobody but in sessions that ask for it.
  private_server server{{"synchronous_standby_names = 'nobody'", "synchronous_commit = local"}};
};

INSTANTIATE_TEST_SUITE_P(
    Of, KilledAtEachStep,
    testing::Values(killing{"BackendByChanges", victim::backend, {"refresh", "sums"}},
                    killing{"ServerByChanges", victim::server, {"refresh", "sums"}},
                    killing{"BackendDiff", victim::backend, {"refresh", "sums", "--mode", "diff"}},
                    killing{"ClientOfAll", victim::client, {"refresh", "--all", "--atomic"}, 3},
                    killing{"BackendOfAll", victim::backend, {"refresh", "--all", "--atomic"}, 3}),
    [](const auto& row) { return row.param.name; });

TEST_P(KilledAtEachStep, LeavesTheOldContentsUpToTheCommitAndThenTheNew) {
  std::vector<step> steps = steps_of(GetParam());
  for (std::size_t i = 0; i < steps.size(); ++i) prepare(steps[i], i);
  for (const step& at : steps) {
    SCOPED_TRACE(at.name);
    change();
    kill_at(at);
    if (HasFatalFailure()) return;
    const std::string now = shown();
    // The server goes on with a commit that a client has sent.
    const bool goes_on = at.in == in_commit && GetParam().who == victim::client;
    EXPECT_TRUE(now == (at.committed ? "new" : "old") || (goes_on && now == "new")) << now;
    expect_next_refresh_after(now);
  }
}

class KilledInASwap : public KilledAtEachStep {
 protected:
  // Each change of the catalog waits while another session holds its number. What they are.
  rows changes_of_the_catalog() {
    session& at = looking();
    at.execute(
        "CREATE TABLE changes (n int, what text);"
        "CREATE FUNCTION wait_in_swap() RETURNS event_trigger LANGUAGE plpgsql AS $$ "
        "DECLARE n int := nextval('public.visited'); BEGIN "
        "PERFORM pg_advisory_xact_lock_shared(4711, n); "
        "INSERT INTO public.changes VALUES (n, tg_tag); END $$;"
        "CREATE EVENT TRIGGER wait ON ddl_command_end EXECUTE FUNCTION wait_in_swap()");
    change();
    at.execute("TRUNCATE changes; SELECT setval('visited', 1, false)");
    const process_result whole = refresh().wait();
    EXPECT_TRUE(contains(whole.out, "swap")) << whole.out << whole.err;
    return at.query("SELECT n, what FROM changes ORDER BY n");
  }
};

INSTANTIATE_TEST_SUITE_P(Of, KilledInASwap,
                         testing::Values(killing{
                             "Backend", victim::backend, {"refresh", "sums", "--mode", "swap"}}),
                         [](const auto& row) { return row.param.name; });

TEST_P(KilledInASwap, LeavesTheOldContentsWhateverWasMadeOrRenamed) {
  const rows changes = changes_of_the_catalog();
  ASSERT_GE(changes.size(), 6U);
  for (const auto& row : changes) {
    SCOPED_TRACE(row[0] + " " + row[1]);
    change();
    kill_at({row[1], in_refresh, fmt::format("SELECT pg_advisory_lock(4711, {})", row[0])});
    if (HasFatalFailure()) return;
    EXPECT_EQ(shown(), "old");
    expect_next_refresh_after("old");
  }
}

}  // namespace
}  // namespace matview::test

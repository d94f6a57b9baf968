#include "tasks_fixture.hpp"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace matview::test {
namespace {

// What tells about views and what acts on many of them treats incremental ones as it treats native
// ones, and never takes their parts for something of a user's.
class IncrementalCatalog : public tasks_test {
 protected:
  IncrementalCatalog() {
    db.execute("SET client_min_messages = warning");
    db.execute("CREATE TABLE t AS SELECT g AS id, g % 10 AS same FROM generate_series(1, 1000) g");
    db.execute("ALTER TABLE t ADD PRIMARY KEY (id)");
  }

  static refresh_report make(const std::string& name, const std::string& query) {
    create_options options;
    options.kind = view_kind::incremental;
    return create_matview(name, query, options);
  }
  static refresh_report make_sums(const std::string& name = "v") {
    return make(name, "SELECT same, count(*) AS n, sum(id) AS total FROM t GROUP BY same");
  }
  static view_status of(const std::string& name) {
    return matview_status({.names = {name}}).views.at(0);
  }
  static std::vector<finding> found(finding_kind kind) {
    std::vector<finding> out = doctor();
    std::erase_if(out, [kind](const finding& one) { return one.kind != kind; });
    return out;
  }
  // Each line is a statement.
  void mend(const finding& one) {
    std::string rest = one.mend;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      db.execute(rest.substr(0, end));
      rest.erase(0, std::min(end + 1, rest.size()));
    }
  }
  static std::string told(const std::vector<finding>& findings) {
    std::string out;
    for (const finding& one : findings) {
      out += fmt::format("{} {} {}: {}. {}. {}\n", to_string(one.level), to_string(one.kind),
                         one.object, one.what, one.why, one.mend);
    }
    return out;
  }
  static std::set<std::string> edges_of(const view_graph& graph) {
    std::set<std::string> out;
    for (const graph_edge& edge : graph.edges()) {
      out.insert(fmt::format("{} {} {}", graph.nodes()[edge.on].display(),
                             edge.known == edge_source::declared ? "<~" : "<-",
                             graph.nodes()[edge.from].display()));
    }
    return out;
  }
  static std::set<std::string> names_of(const view_graph& graph) {
    std::set<std::string> out;
    for (const graph_node& node : graph.nodes()) out.insert(node.display());
    return out;
  }
  std::string storage_bytes(const std::string& view) {
    return db.query_one(
        "SELECT pg_total_relation_size(storage) FROM matview.incremental "
        "WHERE view = '" +
        view + "'::regclass");
  }
};

// ---- graph

TEST_F(IncrementalCatalog, IsANodeOfItsOwnKindMadeFromItsDefinition) {
  make_sums();
  const view_graph graph = read_graph();
  EXPECT_EQ(edges_of(graph), (std::set<std::string>{"public.t <- public.v"}));
  EXPECT_EQ(names_of(graph), (std::set<std::string>{"public.t", "public.v"}));
  const graph_node& view = graph.nodes()[*graph.find("public", "v")];
  EXPECT_EQ(view.kind, node_kind::incremental_view);
  EXPECT_EQ(to_string(view.kind), "incremental view");
  EXPECT_TRUE(view.refreshable());
  EXPECT_EQ(std::to_string(view.bytes.value_or(-1)), storage_bytes("v"));
}

TEST_F(IncrementalCatalog, StandsInTheGraphBetweenOthersOfBothKinds) {
  make_sums("a");
  make("b", "SELECT same, total FROM a WHERE n > 0");
  db.execute(
      "CREATE VIEW p AS SELECT total FROM b; CREATE MATERIALIZED VIEW m AS SELECT total FROM p");
  const view_graph graph = read_graph();
  EXPECT_EQ(edges_of(graph),
            (std::set<std::string>{"public.t <- public.a", "public.a <- public.b",
                                   "public.b <- public.p", "public.p <- public.m"}));
  EXPECT_EQ(graph.nodes()[*graph.find("public", "p")].kind, node_kind::view);
  const auto m = *graph.find("public", "m");
  EXPECT_EQ(graph.nearest_views_upstream(m), std::vector{*graph.find("public", "b")});
}

TEST_F(IncrementalCatalog, IsSeenByARoleWithoutRightsToTheSchema) {
  make_sums();
  const test_role role(db, "outsider");
  configure({{"default", role.url()}});
  EXPECT_EQ(edges_of(read_graph()), (std::set<std::string>{"public.t <- public.v"}));
  const view_status told = of("v");
  EXPECT_EQ(told.kind, view_kind::incremental);
  EXPECT_EQ(told.fresh, freshness::unknown);
  EXPECT_TRUE(contains(told.reason, "may not read")) << told.reason;
  const doctor_report report = examine_matviews();
  EXPECT_TRUE(std::any_of(report.unseen.begin(), report.unseen.end(), [](const std::string& one) {
    return contains(one, "matview.incremental");
  }));
}

TEST_F(IncrementalCatalog, CanBeDeclaredToDependOnOthersAndOthersOnIt) {
  make_sums("a");
  make("b", "SELECT id FROM t");
  EXPECT_EQ(declare_dependencies("b", {"a"}), 1U);
  EXPECT_TRUE(edges_of(read_graph()).contains("public.a <~ public.b"));
  EXPECT_EQ(failure_of([] { declare_dependencies("a", {"b"}); }).code(), errc::invalid_option);
  declare_options back;
  back.remove = true;
  EXPECT_EQ(declare_dependencies("b", {"a"}, back), 1U);
  EXPECT_FALSE(edges_of(read_graph()).contains("public.a <~ public.b"));
}

// ---- many

TEST_F(IncrementalCatalog, IsRefreshedAmongManyInOrder) {
  make_sums("z");
  make("b", "SELECT same, total FROM z WHERE n > 0");
  create_matview("a", "SELECT sum(total) AS total FROM b");
  db.execute("INSERT INTO t VALUES (2000, 3)");
  const refresh_summary done = refresh_many({.which = {.all = true}, .jobs = 1});
  ASSERT_EQ(done.views.size(), 3U);
  std::vector<std::string> order;
  for (const refreshed_view& one : done.views) {
    order.push_back(one.view);
    EXPECT_EQ(one.outcome, refresh_outcome::done) << one.reason;
  }
  EXPECT_EQ(order, (std::vector<std::string>{"public.z", "public.b", "public.a"}));
  EXPECT_EQ(done.views[0].report->mode, refresh_mode::incremental);
  EXPECT_EQ(db.query_one("SELECT total FROM a"), db.query_one("SELECT sum(id) FROM t"));
}

TEST_F(IncrementalCatalog, IsChosenBySchemaAndByWhatIsUpstreamAndDownstream) {
  make_sums("a");
  make("b", "SELECT same, total FROM a WHERE n > 0");
  const auto count_of = [](const view_selection& which) {
    return refresh_many({.which = which}).count(refresh_outcome::done);
  };
  EXPECT_EQ(count_of({.schemas = {"public"}}), 2U);
  EXPECT_EQ(count_of({.names = {"b"}}), 1U);
  EXPECT_EQ(count_of({.names = {"b"}, .with_upstream = true}), 2U);
  EXPECT_EQ(count_of({.names = {"a"}, .with_downstream = true}), 2U);
}

TEST_F(IncrementalCatalog, IsForecastAsWhatItWillBe) {
  make_sums();
  const refresh_forecast plan = forecast_refresh({.which = {.all = true}});
  ASSERT_EQ(plan.views.size(), 1U);
  EXPECT_EQ(plan.views[0].mode, refresh_mode::incremental);
  EXPECT_FALSE(plan.views[0].mode_reason.empty());
}

// ---- status

TEST_F(IncrementalCatalog, HasAStatusWithTheSizeOfItsStorage) {
  make_sums();
  create_matview("m", "SELECT 1 AS id");
  const status_report all = matview_status();
  ASSERT_EQ(all.views.size(), 2U);
  EXPECT_EQ(all.views[0].kind, view_kind::native);
  EXPECT_EQ(all.views[1].name, "v");
  EXPECT_EQ(all.views[1].kind, view_kind::incremental);
  EXPECT_TRUE(all.views[1].populated);
  EXPECT_EQ(std::to_string(all.views[1].bytes.value_or(-1)), storage_bytes("v"));
  EXPECT_TRUE(all.views[1].age) << "it was filled when it was made";
}

TEST_F(IncrementalCatalog, IsFreshExactlyUntilATableChanges) {
  make_sums();
  EXPECT_EQ(of("v").fresh, freshness::fresh) << of("v").reason;
  db.execute("INSERT INTO t VALUES (2000, 3), (2001, 3)");
  EXPECT_EQ(of("v").fresh, freshness::stale);
  EXPECT_EQ(of("v").reason, "2 rows were changed in public.t");
  refresh_matview("v");
  const view_status told = of("v");
  EXPECT_EQ(told.fresh, freshness::fresh) << told.reason;
  ASSERT_TRUE(told.last);
  EXPECT_EQ(told.last->mode, refresh_mode::incremental);
  ASSERT_TRUE(told.usual);
  EXPECT_EQ(told.usual->refreshes, 1);
  ASSERT_TRUE(told.age);
  EXPECT_FALSE(told.outside);
  db.execute("TRUNCATE t");
  EXPECT_EQ(of("v").reason, "TRUNCATE of public.t");
  refresh_matview("v");
  EXPECT_EQ(of("v").fresh, freshness::fresh) << of("v").reason;
  db.execute("ALTER TABLE t DISABLE TRIGGER matview_insert");
  EXPECT_EQ(of("v").fresh, freshness::unknown);
  EXPECT_TRUE(contains(of("v").reason, "is disabled")) << of("v").reason;
}

TEST_F(IncrementalCatalog, IsToldAboutInsideATransactionOfTheCaller) {
  make_sums();
  PGconn* own = PQconnectdb(db.url().c_str());
  PQclear(PQexec(own, "BEGIN"));
  PQclear(PQexec(own, "INSERT INTO t VALUES (2000, 3)"));
  EXPECT_EQ(matview_status(own).views.at(0).fresh, freshness::stale);
  EXPECT_EQ(PQtransactionStatus(own), PQTRANS_INTRANS);
  PQclear(PQexec(own, "COMMIT"));
  PQfinish(own);
  EXPECT_EQ(count("t"), "1001");
}

// ---- doctor

TEST_F(IncrementalCatalog, HasNothingWrongWhenItIsSound) {
  make_sums("a");
  make("b", "SELECT same, total FROM a WHERE n > 0");
  make("c", "SELECT id, same FROM t");
  db.execute("INSERT INTO t SELECT g, 1 FROM generate_series(5000, 5100) g");
  for (const char* const view : {"a", "b", "c"}) refresh_matview(view);
  const doctor_report report = examine_matviews({.unread_for = interval::parse("0 seconds")});
  EXPECT_EQ(told(report.findings), "");
  EXPECT_EQ(report.views, (std::vector<std::string>{"public.a", "public.b", "public.c"}));
  EXPECT_EQ(report.unseen, std::vector<std::string>{});
}

TEST_F(IncrementalCatalog, IsFoundWhereItsChangesAreNotAllCaptured) {
  make_sums();
  EXPECT_EQ(told(found(finding_kind::capture_incomplete)), "");
  db.execute("ALTER TABLE t DISABLE TRIGGER matview_insert");
  const auto findings = found(finding_kind::capture_incomplete);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::warning);
  EXPECT_EQ(findings[0].object, "public.v");
  EXPECT_TRUE(contains(findings[0].what, "matview_insert")) << findings[0].what;
  db.execute("INSERT INTO t VALUES (2000, 3)");
  refresh_matview("v");
  EXPECT_EQ(told(doctor()), "");
  EXPECT_EQ(db.query_one("SELECT sum(total) FROM v"), db.query_one("SELECT sum(id) FROM t"));
}

TEST_F(IncrementalCatalog, HasFreshStatisticsWhenItIsNew) {
  if (server_version() < 150000) GTEST_SKIP() << "14 counts rows when it likes";
  make("v", "SELECT id, same FROM t");
  EXPECT_EQ(told(found(finding_kind::stale_statistics)), "");
}

TEST_F(IncrementalCatalog, IsFoundWhereItDoesNotShowWhatIsKeptForIt) {
  make_sums();
  db.execute("CREATE OR REPLACE VIEW v AS SELECT 1 AS same, 2::bigint AS n, 3::bigint AS total");
  const auto findings = found(finding_kind::altered_view);
  ASSERT_EQ(findings.size(), 1U) << told(doctor());
  EXPECT_EQ(doctor({.names = {"v"}}).size(), 1U);
  EXPECT_EQ(doctor({.schemas = {"public"}}).size(), 1U);
  EXPECT_EQ(of("v").bytes, 0);
  EXPECT_EQ(findings[0].level, severity::error);
  EXPECT_TRUE(contains(findings[0].what, "another query")) << findings[0].what;
  EXPECT_EQ(of("v").fresh, freshness::unknown);
  EXPECT_FALSE(verify_matview("v").right());
  // What somebody has done is undone only by who asks for it.
  db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey; UPDATE t SET same = same + 1");
  db.execute("ALTER TABLE t ALTER same SET NOT NULL");
  const error refusal = failure_of([] { refresh_matview("v"); });
  EXPECT_TRUE(contains(refusal.what(), "another query")) << refusal.what();
  EXPECT_TRUE(contains(refusal.hint(), "verify --repair")) << refusal.hint();
  EXPECT_TRUE(verify_matview("v", {.repair = true}).repaired);
  EXPECT_TRUE(verify_matview("v").right());
  EXPECT_EQ(told(doctor()), "");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::none);
  // Also where it happens to yield the right rows.
  db.execute(
      "CREATE OR REPLACE VIEW v AS SELECT same, count(*) AS n, sum(id) AS total FROM t GROUP BY "
      "same");
  EXPECT_TRUE(verify_matview("v").right());
  const verify_report repaired = verify_matview("v", {.repair = true});
  EXPECT_TRUE(repaired.repaired);
  EXPECT_EQ(repaired.view, "public.v");
  EXPECT_EQ(told(found(finding_kind::altered_view)), "");
}

TEST_F(IncrementalCatalog, IsFoundWhereItReadsWithTheRightsOfItsReaders) {
  if (server_version() < 150000) GTEST_SKIP() << "security_invoker came with 15";
  make_sums();
  db.execute("ALTER VIEW v SET (security_invoker = true)");
  const auto findings = found(finding_kind::altered_view);
  ASSERT_EQ(findings.size(), 1U) << told(doctor());
  EXPECT_EQ(findings[0].level, severity::warning);
  mend(findings[0]);
  EXPECT_EQ(told(doctor()), "");
}

TEST_F(IncrementalCatalog, IsFoundWhereChangesAreNotKeptForIt) {
  make_sums();
  EXPECT_EQ(told(found(finding_kind::detached)), "");
  db.execute("UPDATE matview.incremental SET log_limit = 100");
  db.execute("INSERT INTO t SELECT g, 1 FROM generate_series(5000, 9999) g");
  db.execute("SELECT matview.prune()");
  const auto findings = found(finding_kind::detached);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_TRUE(contains(findings[0].what, "not refreshed for more than 100")) << findings[0].what;
  EXPECT_EQ(told(found(finding_kind::growing_log)), "") << "it is let go";
  EXPECT_EQ(of("v").fresh, freshness::stale);
  mend(findings[0]);
  EXPECT_EQ(told(found(finding_kind::detached)), "");
  EXPECT_EQ(db.query_one("SELECT sum(total) FROM v"), db.query_one("SELECT sum(id) FROM t"));
}

TEST_F(IncrementalCatalog, IsFoundWhereItMakesALogGrow) {
  make_sums("often");
  make_sums("never");
  db.execute("INSERT INTO t SELECT g, 1 FROM generate_series(5000, 16000) g");
  refresh_matview("often");
  EXPECT_EQ(told(found(finding_kind::growing_log)), "") << "it may well be refreshed soon";
  db.execute("UPDATE matview.incremental SET last_refresh = now() - interval '2 days'");
  const auto findings = found(finding_kind::growing_log);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].object, "public.never");
  EXPECT_TRUE(contains(findings[0].what, "11001 changed rows")) << findings[0].what;
  EXPECT_TRUE(contains(findings[0].what, "public.t")) << findings[0].what;
  mend(findings[0]);
  EXPECT_EQ(told(found(finding_kind::growing_log)), "");
}

TEST_F(IncrementalCatalog, IsFoundWhereItsViewIsGone) {
  make_sums();
  EXPECT_EQ(told(found(finding_kind::leftovers)), "");
  db.execute("DROP VIEW v");
  const auto findings = found(finding_kind::leftovers);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::warning);
  EXPECT_EQ(findings[0].object, "matview.incremental 1");
  mend(findings[0]);
  EXPECT_EQ(told(doctor()), "");
  EXPECT_FALSE(exists("matview.storage_1"));
}

TEST_F(IncrementalCatalog, IsFoundWhereItsDefinitionIsGone) {
  make_sums();
  db.execute("DROP TABLE t CASCADE");
  ASSERT_TRUE(exists("v"));
  EXPECT_EQ(names_of(read_graph()), std::set<std::string>{"public.v"});
  EXPECT_TRUE(contains(of("v").reason, "definition is gone")) << of("v").reason;
  const auto findings = doctor();
  ASSERT_EQ(findings.size(), 1U) << told(findings);
  EXPECT_EQ(findings[0].kind, finding_kind::leftovers);
  EXPECT_EQ(findings[0].level, severity::error);
  EXPECT_EQ(findings[0].object, "public.v");
  mend(findings[0]);
  EXPECT_EQ(told(doctor()), "");
}

TEST_F(IncrementalCatalog, IsFoundWhereItsCreationWasCutOff) {
  make_sums();
  db.execute(
      "ALTER VIEW v RENAME TO matview_new_1; ALTER VIEW matview_new_1 SET SCHEMA matview;"
      "UPDATE matview.incremental SET watermark = NULL, last_refresh = now()");
  EXPECT_EQ(told(doctor()), "") << "somebody may be making it";
  EXPECT_TRUE(read_graph().nodes().empty());
  EXPECT_TRUE(matview_status().views.empty());
  db.execute("UPDATE matview.incremental SET last_refresh = now() - interval '2 hours'");
  const auto findings = doctor();
  ASSERT_EQ(findings.size(), 1U) << told(findings);
  EXPECT_EQ(findings[0].kind, finding_kind::leftovers);
  mend(findings[0]);
  EXPECT_EQ(told(doctor()), "");
}

TEST_F(IncrementalCatalog, DoesNotKeepOthersFromBeingMadeWhenItIsNotWhole) {
  db.execute("CREATE TABLE u AS SELECT * FROM t");
  make_sums();
  db.execute("DROP TABLE t CASCADE");
  make("w", "SELECT same, count(*) AS n FROM u GROUP BY same");
  EXPECT_EQ(count("v"), "10") << "it still shows what it held";
  drop_matview("v");
  EXPECT_FALSE(exists("matview.storage_1"));
  db.execute(
      "ALTER VIEW w RENAME TO matview_new_2; ALTER VIEW matview_new_2 SET SCHEMA matview;"
      "UPDATE matview.incremental SET watermark = NULL, last_refresh = now() - interval '2 hours'");
  make("x", "SELECT same, count(*) AS n FROM u GROUP BY same");
  EXPECT_FALSE(exists("matview.storage_2"));
  EXPECT_EQ(told(doctor()), "");
}

// ---- schedules, and refreshing when there is need

TEST_F(IncrementalCatalog, IsRefreshedByASchedule) {
  make_sums();
  tasks::schedule_definition when{.name = "often", .task = "refresh"};
  when.args = R"({"view": "v"})";
  when.every = interval::parse("1 hour");
  EXPECT_TRUE(tasks::set_schedule(when));
  ASSERT_TRUE(of("v").next);
  EXPECT_EQ(of("v").next->schedule, "often");
  db.execute("INSERT INTO t VALUES (2000, 3)");
  tasks::run_schedule_now("often");
  tasks::task_queue queue;
  queue.drain_once();
  EXPECT_EQ(db.query_one("SELECT sum(total) FROM v"), db.query_one("SELECT sum(id) FROM t"));
  EXPECT_EQ(of("v").last->asked_by, refresh_origin::schedule);
  EXPECT_EQ(told(found(finding_kind::impossible_schedule)), "");
}

TEST_F(IncrementalCatalog, IsLeftAloneWhileItIsFreshEnough) {
  make_sums();
  refresh_matview("v");
  db.execute("INSERT INTO t VALUES (2000, 3)");
  EXPECT_EQ(ensure_fresh("v", interval::parse("1 hour")).mode, refresh_mode::none);
  db.execute("UPDATE matview.view SET data_as_of = now() - interval '2 hours'");
  EXPECT_EQ(ensure_fresh("v", interval::parse("1 hour")).mode, refresh_mode::incremental);
  EXPECT_EQ(db.query_one("SELECT sum(total) FROM v"), db.query_one("SELECT sum(id) FROM t"));
}

TEST_F(IncrementalCatalog, IsRefreshedOnlyIfSomethingHasChanged) {
  make_sums();
  EXPECT_EQ(refresh_matview("v", {.if_changed = true}).mode, refresh_mode::none);
  db.execute("INSERT INTO t VALUES (2000, 3)");
  EXPECT_EQ(refresh_matview("v", {.if_changed = true}).mode, refresh_mode::incremental);
  EXPECT_EQ(refresh_matview("v", {.if_changed = true}).mode, refresh_mode::none);
}

TEST_F(IncrementalCatalog, ChangesWhatNativeViewsOnItKnow) {
  make_sums();
  create_matview("m", "SELECT sum(total) AS total FROM v");
  // The server tells what was written some time later, and before 15 to whoever asks later still.
  EXPECT_TRUE(eventually(
      [] { return refresh_matview("m", {.if_changed = true}).mode == refresh_mode::none; }));
  db.execute("INSERT INTO t VALUES (2000, 3)");
  refresh_matview("v");
  EXPECT_TRUE(eventually(
      [] { return refresh_matview("m", {.if_changed = true}).mode == refresh_mode::full; }));
  EXPECT_EQ(db.query_one("SELECT total FROM m"), db.query_one("SELECT sum(id) FROM t"));
}

// ---- messages

TEST_F(IncrementalCatalog, IsCalledWhatItIsByACreateOfItsName) {
  make_sums();
  const error native = failure_of([] { create_matview("v", "SELECT 1 AS id"); });
  EXPECT_EQ(native.code(), errc::view_exists);
  EXPECT_TRUE(contains(native.what(), "an incremental view")) << native.what();
  EXPECT_TRUE(contains(native.hint(), "drop it first")) << native.hint();
  const error again = failure_of([] { make_sums(); });
  EXPECT_EQ(again.code(), errc::view_exists);
  create_options options;
  options.if_not_exists = true;
  const refresh_report left = create_matview("v", "SELECT 1 AS id", options);
  EXPECT_EQ(left.mode, refresh_mode::none);
  EXPECT_TRUE(left.incremental);
  EXPECT_TRUE(contains(left.reason, "incremental")) << left.reason;
  EXPECT_EQ(std::to_string(left.bytes), storage_bytes("v"));
  options.kind = view_kind::incremental;
  EXPECT_EQ(create_matview("v", "SELECT 1 AS id", options).mode, refresh_mode::none);
}

TEST_F(IncrementalCatalog, IsNotTakenForAPlainViewNorAPlainViewForIt) {
  make_sums();
  db.execute("CREATE VIEW p AS SELECT 1 AS id");
  for (const auto& call : std::vector<std::function<void()>>{
           [] { static_cast<void>(matview_status({.names = {"p"}})); },
           [] { static_cast<void>(doctor({.names = {"p"}})); }, [] { refresh_matview("p"); },
           [] { drop_matview("p"); }}) {
    const error refused = failure_of(call);
    EXPECT_EQ(refused.code(), errc::view_not_found);
    EXPECT_TRUE(contains(refused.what(), "a plain view")) << refused.what();
  }
  db.execute("CREATE VIEW on_it AS SELECT * FROM v");
  const error kept = failure_of([] { drop_matview("v"); });
  EXPECT_TRUE(contains(kept.hint(), "--cascade")) << kept.hint();
}

}  // namespace
}  // namespace matview::test

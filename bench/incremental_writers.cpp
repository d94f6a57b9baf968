#include "incremental_writers.hpp"

#include "bare_libpq.hpp"
#include "child.hpp"
#include "interruption.hpp"
#include "pg/server_programs.hpp"
#include <matview/views.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace matview::bench {

namespace {

using stopwatch = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr long bulk_rows = 100'000;

std::optional<fs::path> find_pgbench() {
  for (const pg::server_programs& one : pg::find_server_programs()) {
    if (fs::exists(one.bin / "pgbench")) return one.bin / "pgbench";
  }
  return pg::find_program("pgbench");
}

// A script for pgbench; the file goes with this object.
class script_file final {
 public:
  explicit script_file(const std::string& text)
      : path_(fs::temp_directory_path() / fmt::format("matview-bench-{}.sql", getpid())) {
    std::ofstream(path_) << text;
  }
  script_file(const script_file&) = delete;
  script_file& operator=(const script_file&) = delete;
  ~script_file() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

double number_after(const std::string& told, std::string_view words) {
  const auto at = told.find(words);
  if (at == std::string::npos)
    throw std::runtime_error("pgbench did not say what it did:\n" + told);
  return std::stod(told.substr(at + words.size()));
}

class twins final {
 public:
  explicit twins(const writers_wanted& what) : what_(what), on_(connect(what.conninfo)) {
    for (const char* table : {"plain", "captured"}) {
      execute(
          on_.get(),
          fmt::format("CREATE TABLE {0}.{1} (aid int PRIMARY KEY, bid int NOT NULL, abalance int "
                      "NOT NULL, filler char(84)); INSERT INTO {0}.{1} SELECT g, 1 + g % 10, g, '' "
                      "FROM generate_series(1, {2}) g; ANALYZE {0}.{1}",
                      what.schema, table, what.rows));
      execute(on_.get(), fmt::format("VACUUM {}.{}", what.schema, table));
    }
    query_ = fmt::format(
        "SELECT bid, count(*) AS n, sum(abalance) AS total FROM {}.captured GROUP BY bid",
        what.schema);
    create_matview(view(), query_, {.kind = view_kind::incremental});
  }
  twins(const twins&) = delete;
  twins& operator=(const twins&) = delete;
  ~twins() = default;

  void run(writing& into, const std::string& program, int clients, std::size_t round) const {
    each_twin(round, [&](bool captured) {
      const script_file update(fmt::format(
          "\\set aid random(1, {})\nUPDATE {} SET abalance = abalance + 1 WHERE aid = :aid;\n",
          what_.rows, table(captured)));
      const std::string lsn = now();
      const std::string told =
          output_of({program, "-n", "-M", "prepared", "-c", fmt::format("{}", clients), "-j",
                     clients > 1 ? "2" : "1", "-T", fmt::format("{}", what_.seconds), "-f",
                     update.path(), what_.conninfo});
      (captured ? into.captured : into.plain).push_back(number_after(told, "\ntps = "));
      (captured ? into.wal_captured : into.wal_plain)
          .push_back(since(lsn) / number_after(told, "actually processed: "));
    });
  }

  void run(writing& into, const std::string& sql, std::size_t round) const {
    each_twin(round, [&](bool captured) {
      const std::string lsn = now();
      const auto begin = stopwatch::now();
      execute(on_.get(),
              fmt::format(fmt::runtime(sql), table(captured), what_.rows, what_.rows + bulk_rows));
      const std::chrono::duration<double> took = stopwatch::now() - begin;
      (captured ? into.captured : into.plain).push_back(took.count());
      (captured ? into.wal_captured : into.wal_plain).push_back(since(lsn) / bulk_rows);
    });
  }

  void tidy() const {
    execute(on_.get(), fmt::format("SELECT matview.refresh('{}')", view()));
    while (value_of(on_.get(), "SELECT matview.prune(10000000)") != "0") continue;
    for (const bool captured : {false, true}) execute(on_.get(), "VACUUM " + table(captured));
    execute(on_.get(), "VACUUM " + value_of(on_.get(),
                                            "SELECT format('matview.log_%s', id) FROM "
                                            "matview.change_log WHERE base = '" +
                                                table(true) + "'::regclass"));
  }

  void require_equal() const {
    const std::string differ =
        value_of(on_.get(),
                 fmt::format("SELECT count(*) FROM ((SELECT * FROM {0} EXCEPT ALL ({1})) UNION ALL "
                             "(({1}) EXCEPT ALL SELECT * FROM {0})) x",
                             view(), query_));
    if (differ != "0") throw std::runtime_error(view() + " differs from its query");
  }

  void drop() const {
    drop_matview(view(), {});
    execute(on_.get(), fmt::format("DROP TABLE {}, {}", table(false), table(true)));
  }

 private:
  [[nodiscard]] std::string view() const { return what_.schema + ".w_view"; }
  [[nodiscard]] std::string table(bool captured) const {
    return what_.schema + (captured ? ".captured" : ".plain");
  }
  [[nodiscard]] std::string now() const {
    return value_of(on_.get(), "SELECT pg_current_wal_insert_lsn()");
  }
  [[nodiscard]] double since(const std::string& lsn) const {
    return std::stod(
        value_of(on_.get(), fmt::format("SELECT pg_current_wal_insert_lsn() - '{}'::pg_lsn", lsn)));
  }

  template <class Work>
  static void each_twin(std::size_t round, const Work& work) {
    throw_if_interrupted();
    work(round % 2 == 1);
    work(round % 2 == 0);
  }

  const writers_wanted& what_;
  pg::connection_handle on_;
  std::string query_;
};

}  // namespace

std::vector<writing> measure_writers(const writers_wanted& what) {
  const twins on(what);
  std::vector<writing> out;
  if (const auto pgbench = find_pgbench()) {
    out.push_back({.name = "update of one row, 1 client", .single_row = true, .goal = 0.85});
    out.push_back({.name = "update of one row, 4 clients", .single_row = true, .goal = 0.85});
    writing unused;  // The first run of each table writes whole pages into the WAL.
    on.run(unused, pgbench->string(), 4, 0);
    for (std::size_t round = 0; round < what.rounds; ++round) {
      on.run(out[0], pgbench->string(), 1, round);
      on.run(out[1], pgbench->string(), 4, round);
      on.tidy();
    }
    fmt::print(stderr, "  writers, one by one\n");
  } else {
    fmt::print(stderr, "incremental_bench: measured without single rows: no pgbench found\n");
  }
  const std::size_t first = out.size();
  out.push_back({.name = "insert of 100,000 rows", .goal = 1.3});
  out.push_back({.name = "update of 100,000 rows"});
  out.push_back({.name = "delete of 100,000 rows"});
  constexpr std::array statements{
      "INSERT INTO {0} SELECT g, 1 + g % 10, g, '' FROM generate_series({1} + 1, {2}) g",
      "UPDATE {0} SET abalance = abalance + 1 WHERE aid > {1}", "DELETE FROM {0} WHERE aid > {1}"};
  for (std::size_t round = 0; round < what.rounds + 1; ++round) {
    for (std::size_t i = 0; i < statements.size(); ++i) {
      writing unused;
      on.run(round == 0 ? unused : out[first + i], std::string(statements[i]), round);
    }
    on.tidy();
  }
  on.require_equal();
  on.drop();
  fmt::print(stderr, "  writers, 100,000 rows at once\n");
  return out;
}

}  // namespace matview::bench

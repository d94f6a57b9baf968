// What `matview explain --sql` says of queries of different shapes, word for word:
// tests/data/explain_shapes.txt. With $MATVIEW_WRITE_SHAPES set that file is written anew; read
// what has changed as its user would before it is committed.
#include "cli/cli_fixture.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace matview::test {

namespace {

struct shape {
  std::string name;
  std::string sql;
  std::string told;
};

std::string shapes_file() {
  return std::string(MATVIEW_SOURCE_DIR) + "/tests/data/explain_shapes.txt";
}

// `=== name`, the query on one line, and up to the next such line what is told of it.
std::vector<shape> read_shapes() {
  std::istringstream file(read_file(shapes_file()));
  std::vector<shape> out;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("=== ")) {
      out.push_back({line.substr(4), {}, {}});
      std::getline(file, out.back().sql);
    } else if (!out.empty()) {
      out.back().told += line + '\n';
    }
  }
  return out;
}

class ExplainShapes : public cli_test {
 protected:
  ExplainShapes() {
    db.execute(
        "CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country text);"
        "CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers,"
        "  placed date NOT NULL, amount numeric(10,2) NOT NULL, weight float8);"
        "CREATE TABLE items (order_id int REFERENCES orders, product text, quantity int)");
  }
};

TEST_F(ExplainShapes, AreToldAsTheyWereRead) {
  std::vector<shape> shapes = read_shapes();
  ASSERT_GE(shapes.size(), 24U) << shapes_file();
  for (shape& one : shapes) {
    const process_result done = matview({"explain", "--sql", one.sql});
    EXPECT_EQ(done.exit_code, 0) << one.name << done.err;
    EXPECT_EQ(done.err, "");
    if (std::getenv("MATVIEW_WRITE_SHAPES") != nullptr) {
      one.told = done.out + '\n';
    } else {
      EXPECT_EQ(done.out + '\n', one.told) << one.name;
    }
  }
  if (std::getenv("MATVIEW_WRITE_SHAPES") == nullptr) return;
  std::ofstream file(shapes_file());
  for (const shape& one : shapes) file << "=== " << one.name << '\n' << one.sql << '\n' << one.told;
}

}  // namespace

}  // namespace matview::test

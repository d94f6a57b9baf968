#pragma once

#include <string>
#include <vector>

namespace matview::test {

/// One of the 22 questions of TPC-H. Plain data.
struct tpch_question {
  int number;
  std::string sql;
};

/// The eight tables of TPC-H, with their keys.
[[nodiscard]] const char* tpch_tables();

/// All of them, with the validation parameters of the specification. Where its ORDER BY lets rows
/// tie (3, 5, 10, 11, 18), a key has been added: which rows come first is then told by the query.
[[nodiscard]] const std::vector<tpch_question>& tpch_questions();

}  // namespace matview::test

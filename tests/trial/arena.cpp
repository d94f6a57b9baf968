#include "trial/arena.hpp"

namespace matview::trial {

void arena::renew() {
  constexpr int schemas_in_a_database = 30;
  if (!database_ || ++used_ == schemas_in_a_database) {
    database_.reset();
    database_ = std::make_unique<test::test_database>();
    used_ = 0;
    if (runtime_.prepare) runtime_.prepare(database_->url());
  }
  schema_ = "case" + std::to_string(used_);
  connection(database_->url()).execute("CREATE SCHEMA " + schema_);
  url_ = test::with_parameter(database_->url(), "options", "-csearch_path=" + schema_);
}

}  // namespace matview::trial

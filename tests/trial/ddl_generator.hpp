#pragma once

#include "trial/schema.hpp"

#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace matview::trial {

/// What one session sends in order. Each is complete with BEGIN and its end; a statement that fails
/// is answered with ROLLBACK, and so is the rest.
struct transaction {
  std::vector<std::string> statements = {};
  /// Not empty: it ended with PREPARE TRANSACTION of this name, and somebody has to end it.
  std::string prepared = {};
  std::string ddl = {};  ///< Not empty: the kind of change of a table's definition, for statistics.
};

/// Random changes of tables' definitions, of which most are taken back after a while: the
/// statements of others know the tables as they were at first.
class ddl_generator final {
 public:
  /// @param name makes the names of columns, constraints and indexes its own
  ddl_generator(const schema& tables, dice& choose, std::string name)
      : tables_(tables), choose_(choose), name_(std::move(name)) {}

  [[nodiscard]] transaction next();
  /// Takes back an earlier change, or does not want to yet. Each is taken back three times, as the
  /// first attempts may fail.
  [[nodiscard]] std::optional<transaction> take_back();

 private:
  transaction attach_or_detach(const table& of);
  transaction add_column(const table& of);
  transaction drop_spare(const table& of);
  transaction alter_type(const table& of);
  transaction rename_column(const table& of);
  transaction rename_table(const table& of);
  transaction add_check(const table& of);
  transaction make_key_anew(const table& of);
  transaction create_index(const table& of);
  transaction change_not_null(const table& of);

  void later(std::string kind, std::vector<std::string> statements);
  std::string unique(const char* what);

  const schema& tables_;
  dice& choose_;
  std::string name_;
  int count_ = 0;
  std::deque<transaction> later_;
};

}  // namespace matview::trial

#pragma once

#include "trial/schema.hpp"

#include <string>
#include <vector>

namespace matview::trial {

/// What one session sends in order. Each is complete with BEGIN and its end; a statement that fails
/// is answered with ROLLBACK, and so is the rest.
struct transaction {
  std::vector<std::string> statements = {};
  /// Not empty: it ended with PREPARE TRANSACTION of this name, and somebody has to end it.
  std::string prepared = {};
};

struct writer_options {
  int server_version = 150000;  ///< As SHOW server_version_num.
  bool two_phase = false;       ///< The server allows prepared transactions.
  bool ddl = true;              ///< TRUNCATE, ADD COLUMN, ATTACH and DETACH PARTITION.
  std::string name = "w";       ///< Makes the names of prepared transactions its own.
};

/// Random transactions of writers. They keep the tables near the size they have.
class dml_generator final {
 public:
  /// Both must outlive the generator.
  dml_generator(const schema& tables, dice& choose, writer_options options)
      : tables_(tables), choose_(choose), options_(std::move(options)) {}

  [[nodiscard]] transaction next();

 private:
  std::string statement();
  std::string condition(const table& of);
  std::string assignments(const table& of);
  std::string upsert(const table& into);
  std::string insert(const table& into, const std::string& name);
  std::string insert_select(const table& into);
  std::string copy(const table& into);
  std::string update(const table& of);
  std::string update_from(const table& of);
  std::string key_update(const table& of);
  std::string remove(const table& from);
  std::string remove_some(const table& from);
  std::string move_rows(const table& from);
  std::string merge(const table& into);
  std::string truncate(const table& of);
  transaction definition_change();

  const schema& tables_;
  dice& choose_;
  writer_options options_;
  int prepared_ = 0;
  int columns_ = 0;
};

}  // namespace matview::trial

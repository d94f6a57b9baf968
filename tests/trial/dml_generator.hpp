#pragma once

#include "trial/ddl_generator.hpp"

#include <string>
#include <vector>

namespace matview::trial {

struct writer_options {
  int server_version = 150000;  ///< As SHOW server_version_num.
  bool two_phase = false;       ///< The server allows prepared transactions.
  bool ddl = true;              ///< Also TRUNCATE, and what a ddl_generator does.
  std::string name = "w";       ///< Makes the names of prepared transactions and the like its own.
};

/// Random transactions of writers. They keep the tables near the size they have.
class dml_generator final {
 public:
  /// Both must outlive the generator.
  dml_generator(const schema& tables, dice& choose, writer_options options)
      : tables_(tables),
        choose_(choose),
        options_(std::move(options)),
        definitions_(tables, choose, options_.name) {}

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

  const schema& tables_;
  dice& choose_;
  writer_options options_;
  int prepared_ = 0;
  ddl_generator definitions_;
};

}  // namespace matview::trial

#pragma once

#include <matview/interval.hpp>
#include <matview/log.hpp>

#include <optional>
#include <string>
#include <vector>

namespace matview {

/// An index that is created together with a view.
struct index_definition {
  /// The columns, in order; each by the rule of one part of an identifier.
  std::vector<std::string> columns = {};
  /// Whether the columns together are different for each row. CONCURRENTLY needs one such index.
  bool unique = false;
};

/// Options of create_matview().
struct create_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// Whether to run the query now. A view without data cannot be read until it is refreshed.
  bool with_data = true;
  /// Whether a materialized view of this name is left as it is instead of being an error. Any
  /// other relation of this name is an error all the same.
  bool if_not_exists = false;
  /// Created in the same transaction as the view.
  std::vector<index_definition> indexes = {};
  /// The view's COMMENT; empty for none.
  std::string comment = {};
  /// Longest run of one statement, in the server; unset leaves the role's setting, zero disables
  /// it. Rounded up to whole milliseconds, at most 24 days.
  std::optional<interval> statement_timeout = {};
  /// Longest wait for one lock, in the server; as above.
  std::optional<interval> lock_timeout = {};
  /// Receives NOTICEs and what is done.
  log_sink log = {};
};

/// Options of refresh_matview().
struct refresh_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// Whether readers may go on reading while the view is refreshed. Needs a view that holds data
  /// and has a usable unique index; costs a comparison with the old contents.
  bool concurrently = false;
  /// Whether the report says how many rows the view holds. Free after a full refresh; a scan of
  /// the view after a concurrent one.
  bool count_rows = true;
  /// As in create_options.
  std::optional<interval> statement_timeout = {};
  /// As in create_options. A full refresh queues for an exclusive lock and stalls the readers that
  /// come after it: on a busy site, set a few seconds here and try again later.
  std::optional<interval> lock_timeout = {};
  /// Receives NOTICEs and what is done.
  log_sink log = {};
};

/// Options of drop_matview().
struct drop_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// Whether a view that is not there is fine.
  bool if_exists = true;
  /// Whether everything that depends on the view is dropped with it; the log names each.
  bool cascade = false;
  /// As in create_options.
  std::optional<interval> statement_timeout = {};
  /// As in create_options.
  std::optional<interval> lock_timeout = {};
  /// Receives NOTICEs and what is done.
  log_sink log = {};
};

/// Options of list_matviews().
struct list_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// The schema, exactly as the server has it; one that does not exist holds no views.
  std::string schema = "public";
  /// Receives what is done.
  log_sink log = {};
};

}  // namespace matview

#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace matview::text {

/// What the text of a function names. All names are as the server has them: folded to lower case
/// unless quoted. Plain data.
struct body_names {
  std::set<std::string> relations = {};  ///< Without a schema, where a relation must stand.
  std::set<std::string> functions = {};  ///< Called without a schema.
  std::set<std::pair<std::string, std::string>> calls = {};  ///< With a schema: schema and name.
  std::set<std::string> types = {};                          ///< Without a schema, behind `::`.
  std::set<std::string> clock_words = {};  ///< CURRENT_DATE and its kind, in upper case.
  std::set<std::string> temporary = {};    ///< Temporary tables that it creates.
  bool dynamic = false;                    ///< Runs text that it makes up: EXECUTE.
};

/// Reads the body of a function in SQL or PL/pgSQL.
///
/// By its tokens, not by a grammar: libpg_query's reader of PL/pgSQL corrupts memory on bodies that
/// are cut or scrambled, and its SQL is that of one version. So a name may stand here that is no
/// relation or function (`EXTRACT(... FROM x)` is known, a macro of an extension is not), and the
/// caller asks the catalog which there are. Not seen: what dynamic SQL names, types without `::`,
/// operators. Pure; takes any text.
[[nodiscard]] body_names names_in_body(std::string_view body);

}  // namespace matview::text

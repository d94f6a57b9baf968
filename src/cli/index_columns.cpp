#include "cli/index_columns.hpp"

#include <matview/error.hpp>
#include <matview/identifier.hpp>

#include <string_view>
#include <utility>

namespace matview::cli {

namespace {

std::string trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return std::string(text);
}

}  // namespace

index_definition index_of(const std::string& columns, bool unique) {
  index_definition out{.columns = {}, .unique = unique};
  std::string column;
  for (const char c : columns + ',') {
    if (c == ',') {
      out.columns.push_back(trimmed(std::exchange(column, {})));
    } else {
      column += c;
    }
  }
  return out;
}

CLI::Validator columns() {
  const auto why = [](const std::string& text) {
    try {
      for (const std::string& column : index_of(text, false).columns) {
        static_cast<void>(identifier::parse(column));
      }
      return std::string();
    } catch (const error& wrong) {
      return std::string(wrong.what());
    }
  };
  return CLI::Validator(why, "");
}

}  // namespace matview::cli

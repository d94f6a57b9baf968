#include "pg/toml_config.hpp"

#include "pg/conninfo.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

namespace matview::pg {

namespace {

constexpr std::string_view known_settings =
    "url, pool_size, connect_timeout, acquire_timeout, search_path";

// Reads one file; knows its name, for the messages.
class reader final {
 public:
  explicit reader(const std::filesystem::path& file) : file_(file.string()) {}

  std::map<std::string, database_settings> read() {
    const toml::table root = parse();
    std::map<std::string, database_settings> out;
    for (const auto& [key, node] : root) {
      if (key.str() != "databases") {
        refuse(node.source(), fmt::format("\"{}\" is not known here", key.str()),
               "the one section is [databases]");
      }
    }
    const toml::node* section = root.get("databases");
    if (section == nullptr) return out;
    if (!section->is_table()) {
      refuse(section->source(), "\"databases\" must be a table", "write [databases]");
    }
    for (const auto& [alias, node] : *section->as_table()) {
      out.emplace(std::string(alias.str()), read_database(alias.str(), node));
    }
    return out;
  }

 private:
  [[noreturn]] void refuse(const toml::source_region& where, const std::string& why,
                           std::string_view hint) const {
    throw error(errc::invalid_option,
                fmt::format("{}:{}:{}: {}", file_, where.begin.line, where.begin.column, why),
                {.hint = std::string(hint)});
  }

  toml::table parse() const {
    errno = 0;
    std::ifstream in(file_, std::ios::binary);
    std::string text;
    try {
      text.assign(std::istreambuf_iterator<char>(in), {});
    } catch (const std::ios_base::failure&) {  // libstdc++ throws for a folder.
      in.setstate(std::ios::badbit);
    }
    if (!in) {
      throw error(errc::invalid_option,
                  fmt::format("{} cannot be read: {}", file_, std::strerror(errno)));
    }
    try {
      return toml::parse(text, file_);
    } catch (const toml::parse_error& wrong) {
      // The description is about syntax only; it does not repeat the file's text.
      refuse(wrong.source(), std::string(wrong.description()), "see docs/configuration.md");
    }
  }

  database_settings read_database(std::string_view alias, const toml::node& node) const {
    database_settings out;
    if (node.is_string()) {
      out.url = url_of(alias, "url", node);
      return out;
    }
    if (!node.is_table()) {
      refuse(node.source(), fmt::format("\"{}\" must be a connection string or a table", alias),
             "write " + std::string(alias) + " = \"postgresql://...\"");
    }
    for (const auto& [key, value] : *node.as_table()) set(out, alias, key.str(), value);
    return out;
  }

  void set(database_settings& out, std::string_view alias, std::string_view key,
           const toml::node& value) const {
    if (key == "url") {
      out.url = url_of(alias, key, value);
    } else if (key == "pool_size") {
      const auto size = value.value_exact<std::int64_t>();
      if (!size || *size < 1 || *size > 10'000) {
        refuse(value.source(), "pool_size must be a whole number from 1 to 10000", "");
      }
      out.pool_size = static_cast<std::size_t>(*size);
    } else if (key == "connect_timeout") {
      out.connect_timeout = interval_of(key, value);
    } else if (key == "acquire_timeout") {
      out.acquire_timeout = interval_of(key, value);
    } else if (key == "search_path") {
      out.search_path = strings_of(key, value);
    } else {
      refuse(value.source(), fmt::format("\"{}\" is not a setting of a database", key),
             "the settings are " + std::string(known_settings));
    }
  }

  std::string string_of(std::string_view key, const toml::node& value) const {
    const auto text = value.value_exact<std::string>();
    if (!text) refuse(value.source(), fmt::format("{} must be a text", key), "put it into quotes");
    return *text;
  }

  // Refused here already, where its place in the file is known.
  std::string url_of(std::string_view alias, std::string_view key, const toml::node& value) const {
    std::string url = string_of(key, value);
    try {
      static_cast<void>(parse_target(url));
    } catch (const error& wrong) {
      const toml::source_position at = value.source().begin;
      throw error(wrong.code(),
                  fmt::format("{}:{}:{}: database \"{}\": {}", file_, at.line, at.column, alias,
                              wrong.what()),
                  {.hint = wrong.hint()});
    }
    return url;
  }

  interval interval_of(std::string_view key, const toml::node& value) const {
    try {
      return interval::parse(string_of(key, value));
    } catch (const error& wrong) {
      if (wrong.code() != errc::invalid_interval) throw;
      refuse(value.source(), fmt::format("{}: {}", key, wrong.what()), wrong.hint());
    }
  }

  std::vector<std::string> strings_of(std::string_view key, const toml::node& value) const {
    const toml::array* items = value.as_array();
    if (items == nullptr || items->empty()) {
      refuse(value.source(), fmt::format("{} must be a list of schemas", key),
             "write " + std::string(key) + " = [\"public\"]");
    }
    std::vector<std::string> out;
    for (const toml::node& item : *items) out.push_back(string_of(key, item));
    return out;
  }

  std::string file_;
};

}  // namespace

std::map<std::string, database_settings> read_config(const std::filesystem::path& toml_file) {
  return reader(toml_file).read();
}

}  // namespace matview::pg

#include "text/quote.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>

#include <fmt/format.h>

#include <utility>

namespace matview {

namespace {

constexpr std::size_t longest = 63;  // NAMEDATALEN - 1: the server cuts what is longer.

// Not <cctype>: the allowlist must not depend on the locale.
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

[[noreturn]] void refuse(std::string_view text, std::string_view why,
                         std::optional<std::size_t> position = {}) {
  throw error(errc::invalid_identifier,
              fmt::format("{} is not a valid name: {}", text::shown(text), why),
              {.hint = "a name is VIEW or SCHEMA.VIEW; each part begins with a letter or an "
                       "underscore, goes on with letters, digits and underscores, and has at most "
                       "63 characters",
               .position = position});
}

std::string parse_part(std::string_view whole, std::string_view part) {
  const auto start = static_cast<std::size_t>(part.data() - whole.data());
  if (part.empty()) {
    refuse(whole, whole.empty() ? "it is empty" : "the part beside the dot is empty", start + 1);
  }
  if (is_digit(part.front())) refuse(whole, "it begins with a digit", start + 1);
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (!is_letter(part[i]) && !is_digit(part[i])) {
      refuse(whole,
             fmt::format("character {} ({}) is not allowed", start + i + 1,
                         text::shown(part.substr(i, 1))),
             start + i + 1);
    }
  }
  if (part.size() > longest) {
    refuse(whole, fmt::format("it has {} characters, and PostgreSQL would cut it to {}",
                              part.size(), longest));
  }
  return std::string(part);
}

}  // namespace

identifier::identifier(std::string schema, std::string name)
    : schema_(std::move(schema)), name_(std::move(name)) {}

identifier identifier::parse(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return {{}, parse_part(text, text)};
  if (text.find('.', dot + 1) != std::string_view::npos) {
    refuse(text, "it has more than two parts", text.find('.', dot + 1) + 1);
  }
  std::string schema = parse_part(text, text.substr(0, dot));
  return {std::move(schema), parse_part(text, text.substr(dot + 1))};
}

std::string identifier::text() const {
  return schema_.empty() ? name_ : schema_ + '.' + name_;
}

std::string identifier::quoted() const {
  const std::string last = '"' + name_ + '"';
  return schema_.empty() ? last : '"' + schema_ + "\"." + last;
}

}  // namespace matview

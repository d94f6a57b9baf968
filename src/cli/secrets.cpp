#include "cli/secrets.hpp"

#include <algorithm>
#include <cstring>

namespace matview::cli {

namespace {

void blot(char* begin, const char* end) noexcept {
  std::fill(begin, const_cast<char*>(end), 'x');
}

// `scheme://user:SECRET@host`: from the colon after the authority's start to its last @. A password
// with an unescaped slash or @ is wrong, but is no less secret.
void hide_in_uri(char* begin, char* end) noexcept {
  constexpr std::string_view mark = "://";
  char* authority = std::search(begin, end, mark.begin(), mark.end());
  if (authority == end) return;
  authority += mark.size();
  char* at = end;
  while (at != authority && *(at - 1) != '@') --at;
  if (at == authority) return;
  char* colon = std::find(authority, at, ':');
  if (colon != at) blot(colon + 1, at - 1);
}

// `password=SECRET`, also as a parameter of a URI and within quotes.
void hide_parameters(char* begin, char* end) noexcept {
  constexpr std::string_view mark = "password";
  char* at = begin;
  while ((at = std::search(at, end, mark.begin(), mark.end())) != end) {
    at += mark.size();
    char* value = at;
    while (value != end && *value == ' ') ++value;
    if (value == end || *value != '=') continue;
    ++value;
    while (value != end && *value == ' ') ++value;
    const bool quoted = value != end && *value == '\'';
    if (quoted) ++value;
    char* stop = value;
    while (stop != end && *stop != (quoted ? '\'' : ' ') && (quoted || *stop != '&')) ++stop;
    blot(value, stop);
    at = stop;
  }
}

void hide(char* begin, char* end) noexcept {
  hide_in_uri(begin, end);
  hide_parameters(begin, end);
}

}  // namespace

void hide_passwords(int argc, char** argv) noexcept {
  for (int i = 1; i < argc; ++i) hide(argv[i], argv[i] + std::strlen(argv[i]));
}

std::string without_passwords(std::string_view text) {
  std::string out(text);
  hide(out.data(), out.data() + out.size());
  return out;
}

}  // namespace matview::cli

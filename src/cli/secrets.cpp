#include "cli/secrets.hpp"

#include <algorithm>
#include <cstring>

namespace matview::cli {

namespace {

void blot(char* begin, const char* end) noexcept {
  std::fill(begin, const_cast<char*>(end), 'x');
}

// `scheme://user:SECRET@host`, with or without the scheme: in a word that has an @, from the first
// colon that no slash follows to the last @. A password with an unescaped slash or @ is wrong, but
// is no less secret, and neither is one in an address that is mistyped otherwise.
void hide_in_uri(char* begin, char* end) noexcept {
  for (char* word = begin; word != end;) {
    char* stop = std::find(word, end, ' ');
    char* at = stop;
    while (at != word && *(at - 1) != '@') --at;
    char* colon = word;
    while (colon != at && (*colon != ':' || colon + 1 == at || *(colon + 1) == '/')) ++colon;
    if (colon != at) blot(colon + 1, at - 1);
    word = stop == end ? end : stop + 1;
  }
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
    while (stop != end && *stop != (quoted ? '\'' : ' ') && (quoted || *stop != '&')) {
      // A backslash is libpq's way to write a quote or a blank; in a message it may be doubled.
      while (*stop == '\\' && stop + 1 != end) ++stop;
      ++stop;
    }
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

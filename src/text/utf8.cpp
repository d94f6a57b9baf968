#include "text/utf8.hpp"

#include <boost/locale/utf.hpp>

#include <algorithm>

namespace matview::text {

namespace utf = boost::locale::utf;

bool starts_character(char byte) noexcept {
  return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
}

std::size_t characters(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_character));
}

std::size_t invalid_utf8(std::string_view text) noexcept {
  for (const char* at = text.data(); at != text.data() + text.size();) {
    const char* begin = at;
    const utf::code_point found = utf::utf_traits<char>::decode(at, text.data() + text.size());
    if (found == utf::illegal || found == utf::incomplete) {
      return static_cast<std::size_t>(begin - text.data());
    }
  }
  return std::string_view::npos;
}

}  // namespace matview::text

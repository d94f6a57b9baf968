#include "support/system_time.hpp"

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>

namespace matview::test {

system_zone::system_zone(const std::string& name) {
  ::setenv("TZ", (":" + name).c_str(), 1);
  ::tzset();
}

system_zone::~system_zone() {
  ::unsetenv("TZ");
  ::tzset();
}

std::tm system_zone::local(std::time_t instant) const {
  std::tm out{};
  if (::localtime_r(&instant, &out) == nullptr) throw std::runtime_error("localtime_r failed");
  return out;
}

const std::vector<std::string>& system_zone_names() {
  static const std::vector<std::string> names = [] {
    std::set<std::string> found{"UTC", "Etc/GMT+12", "EST5EDT", "US/Pacific", "Factory"};
    for (const char* table : {"zone.tab", "zone1970.tab"}) {
      std::ifstream file(std::string("/usr/share/zoneinfo/") + table);
      if (!file) throw std::runtime_error(std::string(table) + " is missing: install tzdata");
      for (std::string line; std::getline(file, line);) {
        std::istringstream columns(line);
        std::string countries;
        std::string coordinates;
        std::string name;
        columns >> countries >> coordinates >> name;
        if (!line.starts_with('#') && !name.empty()) found.insert(name);
      }
    }
    return std::vector<std::string>(found.begin(), found.end());
  }();
  return names;
}

std::time_t begin_of_year(int year) {
  std::tm january{};
  january.tm_year = year - 1900;
  january.tm_mday = 1;
  return ::timegm(&january);
}

}  // namespace matview::test

// The README's example. Run it with MATVIEW_URL set; tests/CMakeLists.txt does.

#include <matview/matview.hpp>

#include <iostream>

int main() {
  try {
    matview::create_matview(
        "top_speakers",
        "SELECT speaker, count(*) AS talks "
        "FROM (VALUES ('ann'), ('bob'), ('ann')) AS t (speaker) GROUP BY speaker",
        {.indexes = {{.columns = {"speaker"}, .unique = true}}});

    const auto report = matview::refresh_matview("top_speakers", {.concurrently = true});
    std::cout << report.view << " has " << report.rows.value_or(0) << " rows\n";

    for (const std::string& name : matview::list_matviews()) std::cout << name << '\n';
    matview::drop_matview("top_speakers");
  } catch (const matview::error& failed) {
    std::cerr << failed.what() << '\n' << failed.hint() << '\n';
    return failed.may_retry() ? 75 : 1;
  }
}

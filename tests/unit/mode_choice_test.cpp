#include "views/mode_choice.hpp"

#include <gtest/gtest.h>

namespace matview::views {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

struct row {
  const char* name;
  mode_facts facts;
  refresh_mode mode;
  const char* reason;
};

const mode_facts sound{.populated = true, .unique_index = true, .bytes = 40'000'000, .scans = 7};

mode_facts with(void (*change)(mode_facts&)) {
  mode_facts out = sound;
  change(out);
  return out;
}

class ChooseMode : public testing::TestWithParam<row> {};

TEST_P(ChooseMode, SaysWhichAndWhy) {
  const chosen_mode chosen = choose_mode(GetParam().facts);
  EXPECT_EQ(chosen.mode, GetParam().mode);
  EXPECT_EQ(chosen.reason, GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
    Facts, ChooseMode,
    testing::Values(
        row{"Empty", with([](mode_facts& f) { f.populated = false; }), refresh_mode::full,
            "it holds no data yet, which CONCURRENTLY needs"},
        row{"WithoutIndex", with([](mode_facts& f) {
              f.unique_index = false;
              f.readers = 3;
            }),
            refresh_mode::full, "it has no unique index that CONCURRENTLY could use"},
        row{"Quick", with([](mode_facts& f) {
              f.usual_full = 80ms;
              f.readers = 3;
            }),
            refresh_mode::full, "a full refresh usually takes 80 ms, which readers hardly notice"},
        row{"Unread", with([](mode_facts& f) { f.scans = 0; }), refresh_mode::full,
            "nobody has read it since the server's statistics began"},
        row{"ReadNow", with([](mode_facts& f) {
              f.scans = 0;
              f.readers = 1;
            }),
            refresh_mode::concurrently, "1 session reads it now and would wait, at least 2.0 s"},
        row{"ReadByMany", with([](mode_facts& f) {
              f.readers = 2;
              f.usual_full = 5s;
            }),
            refresh_mode::concurrently, "2 sessions read it now and would wait, usually 5.0 s"},
        row{"Read", sound, refresh_mode::concurrently,
            "it is read, and readers would wait, at least 2.0 s"},
        row{"SmallButUnknown", with([](mode_facts& f) { f.bytes = 8192; }),
            refresh_mode::concurrently,
            "it is read, and readers would wait, for a time that is not known yet"}),
    [](const testing::TestParamInfo<row>& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace matview::views

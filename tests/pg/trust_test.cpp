// What a refresh does beyond computing: one at a time, giving way, a mode with a reason, left out
// when it is not needed, remembered.

#include "gate.hpp"
#include "views_fixture.hpp"

#include <atomic>
#include <random>

namespace matview::test {
namespace {


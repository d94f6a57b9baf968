#include <gtest/gtest.h>

#include <cstdlib>

int main(int argc, char** argv) {
  // RapidCheck's 100 cases are few for texts; RC_PARAMS="seed=..." repeats a run it printed.
  ::setenv("RC_PARAMS", "max_success=1000", 0);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

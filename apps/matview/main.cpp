#include "cli/main.hpp"

int main(int argc, char** argv) {
  return matview::cli::run(argc, argv);
}

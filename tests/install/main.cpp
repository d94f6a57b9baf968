#include <matview/matview.hpp>

#include <iostream>

int main() {
  std::cout << matview::identifier::parse("sales.daily").quoted() << '\n';
}

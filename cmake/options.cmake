# What every target of this project is compiled with; never exported to those who link the library.
add_library(matview_options INTERFACE)
target_compile_features(matview_options INTERFACE cxx_std_20)
target_compile_options(matview_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align -Wunused
  -Woverloaded-virtual -Wconversion -Wsign-conversion -Wformat=2 -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these inside its own <regex>, <optional> and coroutine frames at -O2.
  target_compile_options(matview_options INTERFACE -Wno-maybe-uninitialized -Wno-array-bounds -Wno-mismatched-new-delete
    -Wno-stringop-overflow)
endif()

# Boost.Asio is most of the compile time: its headers are compiled once for each kind of target.
option(MATVIEW_PCH "Use precompiled headers" ON)
function(matview_precompile target)
  if(MATVIEW_PCH)
    target_precompile_headers(${target} PRIVATE
      <boost/asio.hpp> <fmt/format.h> <algorithm> <chrono> <functional> <map> <memory> <optional>
      <string> <string_view> <vector>)
  endif()
endfunction()

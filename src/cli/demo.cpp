#include "cli/command.hpp"
#include "cli/demo_story.hpp"
#include "cli/output.hpp"
#include "cli/run.hpp"
#include "pg/connection.hpp"
#include "pg/embedded_server.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

namespace matview::cli {

namespace {

namespace fs = std::filesystem;

struct demo_arguments {
  bool keep = false;
};

// A new folder; removed at the end unless it is kept.
class temporary_folder final {
 public:
  temporary_folder() : path_((parent() / "matview-demo-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) {
      throw error(errc::invalid_option,
                  fmt::format("no temporary folder can be made in {}: {}", parent().string(),
                              std::strerror(errno)),
                  {.hint = "TMPDIR says where temporary files go"});
    }
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
  }

  void keep() noexcept { kept_ = true; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  // Not fs::temp_directory_path(), whose error names neither the folder nor the variable.
  static fs::path parent() {
    const char* named = std::getenv("TMPDIR");
    return named != nullptr && *named != '\0' ? fs::path(named) : fs::path("/tmp");
  }

  std::string path_;
  bool kept_ = false;
};

// As sh reads it back.
std::string shell_word(std::string_view text) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:@%,";
  if (!text.empty() && text.find_first_not_of(plain) == std::string_view::npos) {
    return std::string(text);
  }
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The command as it is to be typed, by root as the account the server runs as.
std::string as_server_user(const pg::embedded_server& server, const std::string& command) {
  if (server.runs_as().empty()) return command;
  return fmt::format("su {} -s /bin/sh -c {}", server.runs_as(), shell_word(command));
}

void tell_how_to_look(const pg::embedded_server& server) {
  const std::string stop =
      fmt::format("{} -D {} -m fast stop", shell_word((server.programs() / "pg_ctl").string()),
                  shell_word((server.path() / "data").string()));
  write_result(
      fmt::format("\nThe server stays up. To look at it:\n\n  psql {}\n\n"
                  "To end it:\n\n  {} && rm -r {}\n",
                  shell_word(server.conninfo()), as_server_user(server, stop),
                  shell_word(server.path().string())));
}

asio::awaitable<void> tell(const temporary_folder& folder, bool keep, log_sink log,
                           std::unique_ptr<pg::embedded_server>& server) {
  demo_story story(log);
  const auto start = [&] { return pg::embedded_server::use(folder.path(), log); };
  co_await pg::shield_cancellation();
  co_await story.begin();
  server = co_await pg::on_helper_thread(start);
  co_await pg::refuse_if_cancelled();  // Starting a server cannot be interrupted.
  co_await story.tell(server->conninfo(), keep);
}

exit_code demo(const demo_arguments& given, const context& with) {
  temporary_folder folder;
  std::unique_ptr<pg::embedded_server> server;
  // The story shows a failure and its message itself; what the server says in passing is not news.
  const log_sink log = with.options.verbose ? with.screen.log() : log_sink{};
  run_interruptibly(with.screen, "telling the story", tell(folder, given.keep, log, server));
  configure({});  // Lets go of the connections before the server stops.
  if (given.keep) {
    server->keep_running();
    folder.keep();
    tell_how_to_look(*server);
  }
  return exit_code::done;
}

}  // namespace

command add_demo(CLI::App& app) {
  const auto given = std::make_shared<demo_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand(
      "demo", "The life of three views, with real flights, on a private PostgreSQL");
  parser->add_flag("--keep", given->keep, "Leave the server and the views up to look at them");
  return {parser, [given](const context& with) { return demo(*given, with); }, false};
}

}  // namespace matview::cli

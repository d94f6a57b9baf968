#pragma once

#include "pg/transaction.hpp"
#include "store/history.hpp"
#include "views/mode_choice.hpp"
#include "views/statements.hpp"
#include <matview/history.hpp>
#include <matview/identifier.hpp>
#include <matview/options.hpp>
#include <matview/report.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::views {

/// A refresh that was asked for, checked.
struct refresh_request {
  identifier view;
  refresh_options options;
  statement_settings settings;
  int tries = 0;             ///< That were in vain before.
  std::string because = {};  ///< The reason to tell; empty: what the refresh itself finds.
};

/// What the catalog says of the view: statements::look_at().
struct appearance {
  std::string schema;
  std::string name;
  std::int64_t oid;
  bool is_matview;  ///< Native or incremental.
  mode_facts facts;
  std::string xmin;
  bool has_history;
  bool incremental;    ///< Is one of this library's incremental views.
  std::int64_t bytes;  ///< All of it on disk; 0 while a full refresh keeps it from being asked.
};

/// An incremental view's program does not fit its tables any more: nothing was done, and it has to
/// be made anew.
struct recompile_needed {
  std::string reason;
};

/// It was made anew, and does not fit again: its tables go on being changed. To be tried again.
[[nodiscard]] error still_changing(const recompile_needed& again);

/// From the answer to look_at(); nothing if there is no such relation. Pure.
[[nodiscard]] std::optional<appearance> seen(const pg::result& answer);

/// Which mode these options mean, as far as they say it themselves. Pure.
[[nodiscard]] chosen_mode asked_mode(const refresh_options& options);

/// Which mode `automatic` means for this view now: choose_mode() by what is known of it.
asio::awaitable<chosen_mode> mode_now(pg::connection& on, appearance looks);

/// By the word that matview.refresh() answers; none if it is no mode. Pure.
[[nodiscard]] refresh_mode mode_named(std::string_view name) noexcept;

/// A row of the history for this request, to be filled in.
[[nodiscard]] refresh_record record_of(const refresh_request& request);

/// One refresh inside its transaction, in four steps: its turn, which one refresh of a view has at
/// a time; whether it is needed; in which mode; and the refresh with its row of history.
///
/// A plain request takes two messages and asks nothing that it does not need. The turn is a lock of
/// the transaction, so that it ends with it, however that ends.
class one_refresh final {
 public:
  /// Both must outlive it.
  one_refresh(pg::transaction& in, const refresh_request& request);

  /// `preamble` is what its first message begins with.
  asio::awaitable<refresh_report> run(std::string preamble);

 private:
  [[nodiscard]] bool asks_first() const;
  asio::awaitable<std::optional<refresh_report>> fresh_already(bool joined);
  asio::awaitable<std::optional<refresh_report>> take_turn();
  asio::awaitable<std::optional<refresh_report>> unchanged();
  asio::awaitable<chosen_mode> choose();
  asio::awaitable<refresh_report> act(std::string before, chosen_mode chosen);
  asio::awaitable<refresh_report> apply(std::vector<pg::result> first);
  asio::awaitable<void> remember(refresh_record row, std::string state_before, std::string sources);
  asio::awaitable<refresh_report> skipped(std::string reason, bool recorded);
  void need_history(std::string_view option) const;

  pg::transaction& in_;
  const refresh_request& request_;
  const refresh_options& options_;
  std::optional<appearance> looks_;
  std::int64_t asked_at_ = 0;  // By the server's clock, in microseconds since 1970.
};

}  // namespace matview::views

#include "pg/database.hpp"
#include "pg/toml_config.hpp"
#include "text/quote.hpp"
#include <matview/databases.hpp>
#include <matview/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

namespace matview {

namespace {

using database_map = std::map<std::string, std::shared_ptr<pg::database>, std::less<>>;

constexpr std::string_view default_alias = "default";

// The one piece of state that is global, because aliases are: what configure() replaces.
struct registry {
  std::mutex mutex;
  database_map configured;
  // What "default" means without configuration, as long as the environment says the same.
  std::shared_ptr<pg::database> environment;
};

registry& the_registry() {
  // Made before, and so destroyed after, the registry: its databases may need them to the end.
  static_cast<void>(pg::helper_threads());
  static registry all;
  return all;
}

std::string environment_url() {
  const char* url = std::getenv("MATVIEW_URL");
  return url == nullptr ? "" : url;
}

// Adds to a refusal which alias it is about, without touching what may hold a password.
std::shared_ptr<pg::database> make_database(const std::string& alias, database_settings settings) {
  try {
    return std::make_shared<pg::database>(std::move(settings));
  } catch (const error& refused) {
    throw error(refused.code(), fmt::format("database \"{}\": {}", alias, refused.what()),
                {.hint = refused.hint()});
  }
}

std::string known_aliases() {
  std::string out;
  for (const std::string& alias : database_aliases()) out += (out.empty() ? "" : ", ") + alias;
  return out;
}

}  // namespace

void configure(std::map<std::string, std::string> databases) {
  std::map<std::string, database_settings> settings;
  for (auto& [alias, url] : databases) settings[alias].url = std::move(url);
  configure_databases(std::move(settings));
}

void configure_databases(std::map<std::string, database_settings> databases) {
  database_map made;
  for (auto& [alias, settings] : databases) {
    made.emplace(alias, make_database(alias, std::move(settings)));
  }
  registry& all = the_registry();
  const std::lock_guard guard(all.mutex);
  all.configured.swap(made);
  all.environment.reset();
}

void load_config(const std::filesystem::path& toml) {
  std::map<std::string, database_settings> settings = pg::read_config(toml);
  try {
    configure_databases(std::move(settings));
  } catch (const error& refused) {
    throw error(refused.code(), fmt::format("{}: {}", toml.string(), refused.what()),
                {.hint = refused.hint()});
  }
}

std::vector<std::string> database_aliases() {
  registry& all = the_registry();
  const std::lock_guard guard(all.mutex);
  std::vector<std::string> out;
  for (const auto& [alias, unused] : all.configured) out.push_back(alias);
  if (!all.configured.contains(default_alias)) {
    out.insert(std::lower_bound(out.begin(), out.end(), default_alias), std::string(default_alias));
  }
  return out;
}

namespace pg {

std::vector<std::string> configured_aliases() {
  registry& all = the_registry();
  const std::lock_guard guard(all.mutex);
  std::vector<std::string> out;
  for (const auto& [alias, unused] : all.configured) out.push_back(alias);
  if (out.empty()) out.emplace_back(default_alias);
  return out;
}

database::database(database_settings settings)
    : settings_(std::move(settings)), target_(parse_target(settings_.url)) {}

std::shared_ptr<database> database::with_pool_of(std::size_t size) const {
  database_settings settings = settings_;
  settings.pool_size = size;
  return std::make_shared<database>(std::move(settings));
}

asio::awaitable<lease> database::acquire(log_sink log) {
  std::optional<lease> got;
  if (std::holds_alternative<embedded_target>(target_)) {
    got.emplace(co_await acquire_embedded(std::move(log)));
  } else {
    const std::shared_ptr<pool> from = ready_pool(log);
    got.emplace(co_await from->acquire(std::move(log)));
  }
  got->keep(shared_from_this());
  co_return std::move(*got);
}

asio::awaitable<lease> database::acquire_embedded(log_sink log) {
  const auto ready = [self = shared_from_this(), log] { return self->ready_pool(log); };
  std::shared_ptr<pool> first = existing_pool();
  if (!first) first = co_await on_helper_thread(ready);
  try {
    co_return co_await first->acquire(log);
  } catch (const error& failed) {
    if (failed.code() != errc::connection_failed) throw;
    const std::lock_guard guard(mutex_);
    if (pool_ == first) pool_.reset();  // It may have crashed: start it anew, once.
  }
  const std::shared_ptr<pool> second = co_await on_helper_thread(ready);
  co_return co_await second->acquire(log);
}

std::shared_ptr<pool> database::existing_pool() {
  const std::lock_guard guard(mutex_);
  return pool_;
}

std::shared_ptr<pool> database::ready_pool(const log_sink& log) {
  const std::lock_guard guard(mutex_);
  if (pool_) return pool_;
  if (const auto* given = std::get_if<libpq_target>(&target_)) {
    pool_ = std::make_shared<pool>(options_for(given->conninfo));
  } else {
    const auto& folder = std::get<embedded_target>(target_).path;
    server_ = embedded_server::use(folder.empty() ? default_embedded_path() : folder, log);
    pool_ = std::make_shared<pool>(options_for(server_->conninfo()));
  }
  return pool_;
}

pool_settings database::options_for(std::string conninfo) const {
  return {.conninfo = std::move(conninfo),
          .size = settings_.pool_size,
          .connect_timeout = settings_.connect_timeout.to_duration(),
          .acquire_timeout = settings_.acquire_timeout.to_duration(),
          .search_path = settings_.search_path};
}

std::shared_ptr<database> find_database(std::string_view alias) {
  registry& all = the_registry();
  {
    const std::lock_guard guard(all.mutex);
    const auto found = all.configured.find(alias);
    if (found != all.configured.end()) return found->second;
    if (alias == default_alias) {
      const std::string url = environment_url();
      if (!all.environment || all.environment->url() != url) {
        all.environment = make_database("default", {.url = url});
      }
      return all.environment;
    }
  }
  throw error(errc::unknown_database,
              fmt::format("no database is configured as {}", text::shown(alias)),
              {.hint = "configured: " + known_aliases()});
}

}  // namespace pg

}  // namespace matview

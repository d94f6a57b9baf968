#pragma once

/// Everything: PostgreSQL materialized views from birth to death.

#include <matview/cron.hpp>
#include <matview/databases.hpp>
#include <matview/doctor.hpp>
#include <matview/error.hpp>
#include <matview/graph.hpp>
#include <matview/history.hpp>
#include <matview/identifier.hpp>
#include <matview/incremental.hpp>
#include <matview/interval.hpp>
#include <matview/jobs.hpp>
#include <matview/log.hpp>
#include <matview/options.hpp>
#include <matview/refresh_many.hpp>
#include <matview/report.hpp>
#include <matview/schedules.hpp>
#include <matview/status.hpp>
#include <matview/tasks.hpp>
#include <matview/views.hpp>

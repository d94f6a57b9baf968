// One measure of one peer, as tasks_bench asks for it; the server is the one that $PGHOST,
// $PGPORT, $PGUSER and $PGDATABASE name.
//
// usage: node peers.mjs PEER MEASURE COUNT
//   PEER     graphile, graphile_tuned (the preset of its own performance test) or pg_boss
//   MEASURE  enqueue_one, enqueue_eight, enqueue_batch, process_one, process_ten, process_batch,
//            latency
//   COUNT    how many jobs
// prints one line of JSON. The same rules as for the library: a job does nothing; processing counts
// from the first handler's start until the last job is settled in the database; latency counts from
// the call that enqueues to the handler's start, one job at a time, 15 ms apart, in one process (for
// one that polls, at a random moment of its period).

import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import path from "node:path";

// The packages are beside the folder this was started from, not beside this file.
const require = createRequire(path.join(process.cwd(), "here.cjs"));

const task = "nothing";
const batch = 500;
const tuned = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function inFlight(most, count, work) {
  let next = 0;
  const one = async () => {
    while (next++ < count) await work();
  };
  await Promise.all(Array.from({ length: most }, one));
}

async function perSecond(count, work) {
  const began = performance.now();
  await work();
  return { per_second: (1000 * count) / (performance.now() - began) };
}

function percentile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
}

async function latencies(count, enqueue, started, longestPause = 15) {
  const whole = [];
  const after = [];
  for (let i = 0; i < count; ++i) {
    const start = started();
    const called = performance.now();
    await enqueue();
    const returned = performance.now();
    const at = await start;
    whole.push(at - called);
    after.push(Math.max(0, at - returned));
    await pause(15 + Math.random() * (longestPause - 15));
  }
  return {
    p50: percentile(whole, 0.5),
    p99: percentile(whole, 0.99),
    max: Math.max(...whole),
    returned_p50: percentile(after, 0.5),
  };
}

// Counts handlers and lets one wait for the next.
class Handlers {
  #waiting;
  #all;
  ran = 0;
  first;
  last;

  constructor(count) {
    this.finished = new Promise((done) => {
      this.#all = { count, done };
    });
  }
  next() {
    return new Promise((done) => {
      this.#waiting = done;
    });
  }
  run() {
    this.last = performance.now();
    this.first ??= this.last;
    this.#waiting?.(this.last);
    this.#waiting = undefined;
    if (++this.ran === this.#all.count) this.#all.done();
  }
  rates(settled) {
    return {
      per_second: (1000 * this.ran) / (settled - this.first),
      handlers_per_second: (1000 * this.ran) / (this.last - this.first),
    };
  }
}

async function graphile(preset, measure, count) {
  const { Logger, makeWorkerUtils, run } = require("graphile-worker");
  const pg = require("pg");
  const pool = new pg.Pool({ max: 10 });
  // Without these two it writes a warning.
  pool.on("error", (failed) => console.error(failed));
  pool.on("connect", (client) => client.on("error", (failed) => console.error(failed)));
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ pgPool: pool, logger });
  await utils.migrate();
  await pool.query("truncate graphile_worker._private_jobs");

  const handlers = new Handlers(count);
  const work = (settings) =>
    run({
      connectionString: "postgres://",
      noHandleSignals: true,
      logger,
      taskList: { [task]: () => handlers.run() },
      preset: { worker: settings },
    });
  const process = async (settings) => {
    for (let left = count; left > 0; left -= batch) {
      const specs = Array.from({ length: Math.min(left, batch) }, () => ({
        identifier: task,
        payload: {},
      }));
      await utils.addJobs(specs);
    }
    const runner = await work(settings);
    await handlers.finished;
    for (;;) {
      const left = await pool.query("select 1 from graphile_worker._private_jobs limit 1");
      if (left.rowCount === 0) break;
      await pause(1);
    }
    const settled = performance.now();
    await runner.stop();
    return handlers.rates(settled);
  };

  const measures = {
    enqueue_one: () =>
      perSecond(count, () => inFlight(1, count, () => utils.addJob(task, {}))),
    enqueue_eight: () =>
      perSecond(count, () => inFlight(8, count, () => utils.addJob(task, {}))),
    enqueue_batch: () => {
      const specs = Array.from({ length: batch }, () => ({ identifier: task, payload: {} }));
      return perSecond(count, () => inFlight(1, count / batch, () => utils.addJobs(specs)));
    },
    process_one: () => process({ concurrentJobs: 1, ...preset }),
    process_ten: () => process({ concurrentJobs: 10, ...preset }),
    process_batch: () => process(tuned),
    latency: async () => {
      const runner = await work(preset);
      await pause(500);
      const seen = await latencies(
        count,
        () => utils.addJob(task, {}),
        () => handlers.next(),
      );
      await runner.stop();
      return seen;
    },
  };
  try {
    return await measures[measure]();
  } finally {
    await utils.release();
    await pool.end();
  }
}

async function pgBoss(measure, count) {
  const PgBoss = require("pg-boss");
  const pg = require("pg");
  const client = new pg.Client();
  await client.connect();
  await client.query("set client_min_messages = warning; drop schema if exists pgboss cascade");
  await client.end();
  const boss = new PgBoss({ max: 10 });
  boss.on("error", (failed) => console.error(failed));
  await boss.start();
  await boss.createQueue(task);

  const fill = async () => {
    for (let left = count; left > 0; left -= batch) {
      await boss.insert(Array.from({ length: Math.min(left, batch) }, () => ({ name: task })));
    }
  };
  const loops = async (most, size) => {
    await fill();
    const handlers = new Handlers(count);
    const one = async () => {
      for (;;) {
        const jobs = await boss.fetch(task, { batchSize: size });
        if (jobs.length === 0) return;
        for (const _ of jobs) handlers.run();
        await boss.complete(
          task,
          jobs.map((job) => job.id),
        );
      }
    };
    await Promise.all(Array.from({ length: most }, one));
    return handlers.rates(performance.now());
  };

  const measures = {
    enqueue_one: () => perSecond(count, () => inFlight(1, count, () => boss.send(task, {}))),
    enqueue_eight: () => perSecond(count, () => inFlight(8, count, () => boss.send(task, {}))),
    enqueue_batch: () => {
      const jobs = Array.from({ length: batch }, () => ({ name: task }));
      return perSecond(count, () => inFlight(1, count / batch, () => boss.insert(jobs)));
    },
    process_one: () => loops(1, 1),
    process_ten: () => loops(10, 1),
    process_batch: () => loops(1, batch),
    latency: async () => {
      const handlers = new Handlers(count);
      await boss.work(task, { pollingIntervalSeconds: 0.5 }, async (jobs) => {
        for (const _ of jobs) handlers.run();
      });
      return latencies(
        count,
        () => boss.send(task, {}),
        () => handlers.next(),
        500, // Otherwise each job comes right after a look, and waits for nearly a whole period.
      );
    },
  };
  try {
    return await measures[measure]();
  } finally {
    await boss.stop({ graceful: false, wait: true });
  }
}

const [peer, measure, count] = process.argv.slice(2);
const peers = {
  graphile: () => graphile({}, measure, Number(count)),
  graphile_tuned: () => graphile(tuned, measure, Number(count)),
  pg_boss: () => pgBoss(measure, Number(count)),
};
const seen = await peers[peer]();
console.log(JSON.stringify(seen));
process.exit(0);

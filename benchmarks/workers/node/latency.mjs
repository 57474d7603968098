// Adds one job at a time to an idle queue and times it from the push to its result, as its producer
// sees it. Writes the milliseconds, a JSON list, to BENCH_LATENCIES.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Queue, QueueEvents } from 'bullmq';

const { hostname: host, port } = new URL(process.env.BENCH_REDIS_URL);
const connection = { host, port: Number(port) };
const queue = new Queue('pages', { connection });
const events = new QueueEvents('pages', { connection });
await events.waitUntilReady();
const urls = readFileSync(process.env.BENCH_URLS_FILE, 'utf8').split('\n').filter(Boolean);
const latencies = [];
for (const url of urls) {
  await pause(150);
  const pushed = performance.now();
  const job = await queue.add('page', { url });
  await job.waitUntilFinished(events, 30_000);
  latencies.push(performance.now() - pushed);
}
writeFileSync(process.env.BENCH_LATENCIES, JSON.stringify(latencies));
await events.close();
await queue.close();

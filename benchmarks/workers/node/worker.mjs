// A BullMQ worker that fetches with undici and parses with cheerio: node worker.mjs cheerio|slim
// It ends after BENCH_PAGES jobs and writes the report that `Report.read` in plan.py reads.
import { writeFileSync } from 'node:fs';
import { Worker } from 'bullmq';
import { Agent, request } from 'undici';
import { extract } from './extract.mjs';

const { load } = await import(process.argv[2] === 'slim' ? 'cheerio/slim' : 'cheerio');
const { BENCH_PAGES, BENCH_PROFILE, BENCH_REDIS_URL, BENCH_REPORT } = process.env;
const CONCURRENCY = 32;
const pages = Number(BENCH_PAGES);
const dispatcher = new Agent({ connections: CONCURRENCY, pipelining: 1 });
const tally = {
  titles: 0, descriptions: 0, canonicals: 0, languages: 0, headings: 0, open_graph: 0,
  images: 0, json_ld: 0, internal_links: 0, external_links: 0,
};
let done = 0;

function count(record) {
  done += 1;
  tally.titles += record.title ? 1 : 0;
  tally.descriptions += record.description ? 1 : 0;
  tally.canonicals += record.canonical ? 1 : 0;
  tally.languages += record.language ? 1 : 0;
  tally.headings += record.headings.length;
  tally.open_graph += Object.keys(record.openGraph).length;
  tally.images += record.images?.length ?? 0;
  tally.json_ld += record.jsonLd?.length ?? 0;
  tally.internal_links += record.links.internal.length;
  tally.external_links += record.links.external.length;
}

async function work(job) {
  const { statusCode, body } = await request(job.data.url, { dispatcher });
  return extract(load, await body.text(), job.data.url, statusCode, BENCH_PROFILE === 'full');
}

const { hostname: host, port } = new URL(BENCH_REDIS_URL);
const worker = new Worker('pages', work, {
  connection: { host, port: Number(port), maxRetriesPerRequest: null },
  concurrency: CONCURRENCY,
  autorun: false,
});
await worker.waitUntilReady();

const started = performance.now();
const before = process.cpuUsage();
const finished = new Promise((resolve, reject) => {
  worker.on('completed', (job, record) => {
    count(record);
    if (done === pages) resolve();
  });
  worker.on('failed', (job, error) => reject(error));
});
worker.run();
await finished;
const used = process.cpuUsage(before);
writeFileSync(BENCH_REPORT, JSON.stringify({
  pages: done,
  cpu_s: (used.user + used.system) / 1e6,
  wall_s: (performance.now() - started) / 1e3,
  peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
  tally,
}));
await worker.close();
await dispatcher.close();
process.exit(0);

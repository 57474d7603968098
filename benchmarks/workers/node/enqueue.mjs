// Adds one job for each line of BENCH_URLS_FILE.
import { readFileSync } from 'node:fs';
import { Queue } from 'bullmq';

const { hostname: host, port } = new URL(process.env.BENCH_REDIS_URL);
const queue = new Queue('pages', { connection: { host, port: Number(port) } });
const urls = readFileSync(process.env.BENCH_URLS_FILE, 'utf8').split('\n').filter(Boolean);
for (let at = 0; at < urls.length; at += 500) {
  await queue.addBulk(urls.slice(at, at + 500).map((url) => ({ name: 'page', data: { url } })));
}
await queue.close();

// SPDX-License-Identifier: MIT
// BullMQ's side of bench/peers.lua: bullmq.js work PORT | rate PORT N | trip PORT N
const { Queue, Worker, QueueEvents } = require('bullmq');
const [, , what, port, count] = process.argv;
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const n = Number(count);

async function rate(queue, events) {
  const began = process.hrtime.bigint();
  let left = n;
  const ended = new Promise((resolve) => events.on('completed', () => { if (--left === 0) resolve(); }));
  for (let i = 0; i < n; i += 500) {
    await queue.addBulk(Array.from({ length: Math.min(500, n - i) }, (_, k) => ({ name: 'double', data: { x: i + k } })));
  }
  await ended;
  console.log(n / (Number(process.hrtime.bigint() - began) / 1e9));
}

async function trip(queue, events) {
  const times = [];
  for (let i = 0; i < n; i++) {
    const began = process.hrtime.bigint();
    const job = await queue.add('double', { x: i });
    await job.waitUntilFinished(events);
    times.push(Number(process.hrtime.bigint() - began) / 1e9);
  }
  times.sort((a, b) => a - b);
  console.log(times[n >> 1]);
}

async function main() {
  if (what === 'work') {
    new Worker('bench', async (job) => 2 * job.data.x, { connection });
    return;
  }
  const queue = new Queue('bench', { connection, defaultJobOptions: { removeOnComplete: what === 'rate' ? true : 1000 } });
  const events = new QueueEvents('bench', { connection });
  await events.waitUntilReady();
  await (what === 'rate' ? rate : trip)(queue, events);
  await events.close();
  await queue.close();
}
main();

// A `longrun serve` in a process of its own, and OpenAI's client to ask it with.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export const OpenAI = createRequire(path.join(process.env.LONGRUN_NODE, 'client'))('openai');
export const MODEL = path.basename(process.env.LONGRUN_MODEL);
export const CONTEXT = 4096;
const PATIENCE_MS = 60_000;

// Until `check` gives something true, which is returned.
export async function until(what, check) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await sleep(10);
  }
}

export class Server {
  // Ready to answer. `flags`: of longrun serve.
  static async start(...flags) {
    const server = new Server();
    server.folder = mkdtempSync(path.join(tmpdir(), 'longrun-client-'));
    const words = ['serve', process.env.LONGRUN_MODEL, '--port', '0', '--json', '--threads', '1',
      '--feedback', server.folder, ...flags];
    // Servers share the machine with other tests, where an answer may take its time.
    if (!flags.includes('--max-wait')) words.push('--max-wait', '10m');
    server.child = spawn(path.join(process.env.LONGRUN_BIN, 'longrun'), words,
      { stdio: ['ignore', 'pipe', 'pipe'] });
    let complaints = '';
    server.child.stderr.on('data', (text) => (complaints += text));
    server.ended = once(server.child, 'exit');
    const lines = createInterface({ input: server.child.stdout });
    const [line] = await Promise.race([once(lines, 'line'), server.ended]);
    if (typeof line !== 'string') throw new Error(`longrun serve ended with ${line}: ${complaints}`);
    server.url = JSON.parse(line).url;
    if (server.url.startsWith('http:')) {
      await until('healthy', async () => (await fetch(server.url + '/health')).ok);
    }
    return server;
  }

  // Retries only where a test asks for it.
  client(options = {}) {
    return new OpenAI({
      apiKey: 'sk-any', baseURL: this.url + '/v1', maxRetries: 0, timeout: PATIENCE_MS, ...options,
    });
  }

  // The sum over all labels that contain `label`.
  async metric(name, label = '') {
    const page = await (await fetch(this.url + '/metrics')).text();
    const samples = page.split('\n').filter(
      (line) => line.startsWith(name + '{') && line.includes(label));
    if (samples.length === 0) throw new Error(`no ${name} with ${label} in\n${page}`);
    return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  // The exit code.
  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    const [code] = await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
    return code;
  }
}

import assert from "node:assert/strict";
import { canSignal } from "../_system.ts";

/** Says what it hears, is busy for half a second after the first signal, and answers to lines. */
const PROGRAM = `
  import { Interruption } from ${JSON.stringify(import.meta.resolve("../../cli/interruption.ts"))};
  const interruption = new Interruption((line) => console.log(line));
  interruption.signal.addEventListener("abort", () =>
    setTimeout(() => {
      console.log("busy");
      for (const start = performance.now(); performance.now() - start < 500;);
    })
  );
  console.log("listening");
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    if (text === "dispose") interruption[Symbol.dispose]();
    console.log("done");
  }
`;

interface Listener {
  readonly child: Deno.ChildProcess;
  /** The next line that it says. */
  line(): Promise<string | undefined>;
  /** Asks for something and waits for the answer. */
  ask(text: string): Promise<void>;
  /** How it ended. */
  end(): Promise<Deno.CommandStatus>;
}

async function listen(): Promise<Listener> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", PROGRAM],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const lines = readLines(child.stdout), input = child.stdin.getWriter();
  const line = async () => (await lines.next()).value ?? undefined;
  assert.equal(await line(), "listening");
  return {
    child,
    line,
    async ask(text) {
      await input.write(new TextEncoder().encode(text));
      assert.equal(await line(), "done");
    },
    async end() {
      assert.equal(await line(), undefined);
      await input.close().catch(() => {});
      return await child.status;
    },
  };
}

async function* readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

for (const first of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`Interruption stops at ${first} and ends at a later Ctrl-C alone`, async () => {
    if (!canSignal()) return;
    const { child, line, ask, end } = await listen();
    child.kill(first);
    assert.equal(await line(), "stopping; Ctrl-C again ends at once");
    assert.equal(await line(), "busy");
    // The same Ctrl-C once more, however late it is heard.
    child.kill("SIGINT");
    await sleep(1500);
    child.kill("SIGTERM");
    await sleep(200);
    await ask("anything");
    child.kill("SIGINT");
    assert.equal((await end()).code, 130);
  });
}

Deno.test("Interruption gives signals back when it is disposed", async () => {
  if (!canSignal()) return;
  const { child, ask, end } = await listen();
  await ask("dispose");
  child.kill("SIGINT");
  assert.equal((await end()).signal, "SIGINT");
});

Deno.test("Interruption that was disposed in stopping outlives the same Ctrl-C heard again", async () => {
  if (!canSignal()) return;
  const { child, line, ask, end } = await listen();
  child.kill("SIGINT");
  assert.equal(await line(), "stopping; Ctrl-C again ends at once");
  assert.equal(await line(), "busy");
  await ask("dispose");
  child.kill("SIGINT");
  await sleep(200);
  await ask("anything");
  await sleep(800);
  child.kill("SIGINT");
  assert.equal((await end()).code, 130);
});

import assert from "node:assert/strict";
import { shellWord } from "../../cli/shell_word.ts";

Deno.test("shellWord() is taken by a shell for the word itself", async () => {
  if (Deno.build.os === "windows") {
    const words = ["C:\\runs\\a_b-1.2", "C:\\my runs\\a", "optimizer.learningRate=1", "it's"];
    for (const word of words) {
      const { stdout } = await new Deno.Command("cmd", {
        args: ["/c", `echo ${shellWord(word)}`],
        windowsRawArguments: true,
      }).output();
      assert.equal(new TextDecoder().decode(stdout).trim().replaceAll('"', ""), word);
    }
    return assert.equal(shellWord(words[0]!), words[0]);
  }
  const words = ["runs/a_b-1.2", "a b", "it's", "$HOME", "`x`", "a\\b", "ä#?*", "~/a", "", "a\nb"];
  for (const word of words) {
    const script = `printf %s ${shellWord(word)}`;
    const { stdout } = await new Deno.Command("sh", { args: ["-c", script] }).output();
    assert.equal(new TextDecoder().decode(stdout), word);
  }
  assert.equal(shellWord("runs/a_b-1.2"), "runs/a_b-1.2");
});

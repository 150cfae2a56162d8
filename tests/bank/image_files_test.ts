import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { directoryPath } from "../../bank/directory.ts";
import { describeUnread, listImageFiles } from "../../bank/image_files.ts";
import { openStoredImages } from "../../evaluate/stored_images.ts";
import { encodePng } from "../../train/datasets/png.ts";
import { canLink } from "../_system.ts";

/** A folder of empty files, removed when it is disposed. */
async function folderOf(names: readonly string[]) {
  const root = await Deno.makeTempDir();
  for (const name of names) {
    const path = `${root}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(path, new Uint8Array());
  }
  return { root, [Symbol.dispose]: () => Deno.removeSync(root, { recursive: true }) };
}

Deno.test("listImageFiles() sorts the images that are read from those that are not", async () => {
  if (!canLink()) return;
  using folder = await folderOf([
    "b/2.JPG",
    "b/.hidden.png",
    ".git/1.png",
    "b/notes.txt",
    "a.webp",
    "b/3.HEIC",
    "0.bmp",
  ]);
  await Deno.symlink(`${folder.root}/b`, `${folder.root}/c`);
  await Deno.symlink(`${folder.root}/a.webp`, `${folder.root}/d.png`);
  await Deno.symlink(`${folder.root}/nowhere`, `${folder.root}/e.png`, { type: "file" });
  await Deno.symlink(`${folder.root}/f.png`, `${folder.root}/f.png`, { type: "file" });
  const list = () => listImageFiles(folder.root, { expected: "a folder" });
  const { names, unread } = await list();
  assert.deepEqual(names, ["a.webp", "b/2.JPG", "c/2.JPG", "d.png", "e.png", "f.png"]);
  assert.deepEqual(unread, ["0.bmp", "b/3.HEIC", "c/3.HEIC"]);
  assert.equal(describeUnread(unread), "formats that are not read: 1 .bmp, 2 .heic");
  // What may be a folder of images is not passed over.
  await Deno.symlink(`${folder.root}/g`, `${folder.root}/g`, { type: "dir" });
  await assert.rejects(list, /^Error: Cannot load images: .*\/g'?, expected a folder$/);
});

Deno.test("listImageFiles() says what a folder without readable images holds", async () => {
  using folder = await folderOf(["0.bmp", "notes.txt"]);
  const list = () => listImageFiles(folder.root, { expected: "a folder of images" });
  await assert.rejects(list, {
    message: `Cannot load images: ${folder.root} holds no images but some in formats that ` +
      "are not read: 1 .bmp, expected a folder of images",
  });
  using other = await folderOf(["notes.txt"]);
  await assert.rejects(listImageFiles(other.root, { expected: "a folder of images" }), {
    message: `Cannot load images: ${other.root} holds no images, expected a folder of images`,
  });
  await assert.rejects(
    listImageFiles(`${folder.root}/none`, { expected: "a folder of images" }),
    /none does not exist, expected a folder of images/,
  );
  await assert.rejects(
    listImageFiles(`${folder.root}/0.bmp`, { expected: "a folder of images" }),
    /0\.bmp is a file, expected a folder of images/,
  );
  // No system takes such a name.
  await assert.rejects(
    listImageFiles(`${folder.root}/${"x".repeat(300)}`, { expected: "a folder of images" }),
    /^Error: Cannot load images: .*, expected a folder of images$/,
  );
  if (!canLink()) return;
  await Deno.mkdir(`${folder.root}/in`);
  await Deno.symlink(folder.root, `${folder.root}/in/circle`);
  await assert.rejects(list, /in\/circle\/ links to a folder above it/);
});

Deno.test("openStoredImages() warns of images in formats that it does not read", async () => {
  using folder = await folderOf(["1.webp", "2.bmp"]);
  const warnings: string[] = [];
  using stored = await openStoredImages(folder.root, {
    imageSize: () => Promise.resolve(8),
    loadDecoder: () => Promise.resolve(() => Promise.reject(new Error("decodes nothing here"))),
    reporter: {
      note: () => {},
      warn: (line) => warnings.push(line),
      begin: () => ({ advance: () => {}, [Symbol.dispose]: () => {} }),
    },
  });
  assert.equal(stored.images?.size, 1);
  assert.match(warnings[0]!, /also holds images in formats that are not read: 1 \.bmp$/);
});

Deno.test("openStoredImages() names a PNG that is no square, or of another size than the first", async () => {
  using folder = await folderOf(["0.webp"]);
  const write = (name: string, width: number, height: number) => {
    const data = new Uint8Array(3 * width * height);
    Deno.writeFileSync(`${folder.root}/${name}`, encodePng({ width, height, channels: 3, data }));
  };
  const open = () =>
    openStoredImages(folder.root, {
      imageSize: () => Promise.resolve(8),
      loadDecoder: () => Promise.reject(new Error("decodes nothing here")),
      reporter: {
        note: () => {},
        warn: () => {},
        begin: () => ({ advance: () => {}, [Symbol.dispose]: () => {} }),
      },
    });
  const [first, second] = ["1.png", "2.png"].map((name) => join(folder.root, name));
  write("1.png", 16, 20);
  await assert.rejects(open, {
    name: "RangeError",
    message:
      `Cannot measure ${first}: it has 16 × 20 pixels, expected a square (photos of --data DIR are cropped to one)`,
  });
  write("1.png", 16, 16);
  const png = Deno.readFileSync(`${folder.root}/1.png`);
  // Of the header, the bytes from 16 on are width and height.
  Deno.writeFileSync(`${folder.root}/1.png`, png.fill(0, 16, 24));
  await assert.rejects(open, { name: "RangeError", message: /1\.png: it has 0 × 0 pixels, / });
  write("1.png", 16, 16);
  write("2.png", 16, 20);
  await assert.rejects(open, {
    message: `Cannot measure ${second}: it has 16 × 20 pixels, expected 16 × 16 as ${first}`,
  });
});

Deno.test("directoryPath() takes paths and URLs, and drops a last slash but the root's", () => {
  const cases = [
    ["a/b/", "a/b"],
    ["a", "a"],
    ["/", "/"],
    [pathToFileURL(`${resolve("/a/b")}/`), resolve("/a/b")],
    ["odd\\", Deno.build.os === "windows" ? "odd" : "odd\\"],
  ] as const;
  for (const [given, path] of cases) assert.equal(directoryPath(given), path);
});

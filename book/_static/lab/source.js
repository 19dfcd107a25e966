// Where a laboratory's image comes from: the samples of the book, or a file of the reader.
import { facts } from "./facts.js";
import { cut, decode, middle, readSample, story } from "./images.js";
import { SquareChooser } from "./square.js";

/** @typedef {import("./images.js").Picture} Picture */

export class Source {
  /**
   * @param {string} id
   * @param {(picture: Picture, name: string) => void} ready
   * @param {(words: string, problem: boolean) => void} say
   */
  constructor(id, ready, say) {
    this.ready = ready;
    this.say = say;
    this.chooser = new SquareChooser(id, (square) => this.use(square));
    /** @type {{name: string, bitmap: ImageBitmap} | null} the reader's own image */
    this.own = null;
    this.turn = 0;
  }

  /** Take a sample, or the reader's image again. @param {string} name @param {string} [words] */
  choose(name, words = "") {
    const sample = facts.samples.find((one) => one.name === name);
    if (sample)
      this.load(async (current) => {
        const picture = await readSample(sample.file);
        if (!current()) return;
        this.chooser.offer(null);
        this.say(words, words !== "");
        this.ready(picture, name);
      });
    else if (this.own) this.offer();
  }

  /** Take a file of the reader. @param {File} file */
  take(file) {
    this.load(async (current) => {
      const bitmap = await decode(file);
      if (!current()) return;
      this.own = { name: file.name, bitmap };
      this.offer();
    });
  }

  /** Show the reader's image and the squares of it that can be chosen. */
  offer() {
    if (!this.own) return;
    this.chooser.offer(this.own.bitmap);
    this.use(middle(this.own.bitmap));
  }

  /** @param {import("./images.js").Square} square of the reader's image */
  use(square) {
    if (!this.own) return;
    const { name, bitmap } = this.own, picture = cut(bitmap, square);
    this.say(story(name, bitmap, square, picture.colour !== null), false);
    this.ready(picture, "own");
  }

  /** Read an image, the newest one if several are asked for; a problem leaves the old one. */
  async load(read) {
    const turn = ++this.turn, current = () => turn === this.turn;
    try {
      await read(current);
    } catch (problem) {
      if (current()) this.say(problem instanceof Error ? problem.message : `${problem}`, true);
    }
  }
}

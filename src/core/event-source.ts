/** A typed source of events. Listeners are called in order of subscription; one that throws does not silence the others. */
export class EventSource<T> {
  readonly #listeners = new Set<(event: T) => void>();

  /** Returns the function that ends the subscription. */
  on(listener: (event: T) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  emit(event: T): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

export function typical(directory: string): void;
export function many(directory: string, count: number): void;
export function included(directory: string, count: number): void;

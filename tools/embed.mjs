// Makes modules of the files that the library needs at run time and that are no TypeScript: a package
// that is both ESM and CJS has no one way to find a file beside itself, and a bundled application
// would leave the files behind.
import './embed-scripts.mjs';
import './embed-page.mjs';

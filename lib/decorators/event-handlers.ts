import 'reflect-metadata';

/** What `@OnEvent` of @nestjs/event-emitter writes on a method. */
const LISTENER = 'EVENT_LISTENER_METADATA';

/** What @nestjs/cqrs writes on a class, by the method of it that it calls: sagas command by events. */
const HANDLERS: Partial<Record<PropertyKey, string>> = {
  handle: '__eventsHandler__',
  execute: '__commandHandler__',
};

/** Whether an event module calls the method, while whoever caused it may go on without waiting. */
export function handlesEvents(instance: unknown, property: PropertyKey, method: object): boolean {
  if (Reflect.hasOwnMetadata(LISTENER, method)) return true;
  const handler = HANDLERS[property];
  const type = (instance as object | null | undefined)?.constructor;
  return handler !== undefined && typeof type === 'function' && Reflect.hasMetadata(handler, type);
}
